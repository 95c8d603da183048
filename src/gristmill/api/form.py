"""A form upload, parsed while it arrives: the file's bytes pass on, the few small fields are kept."""

from collections.abc import AsyncIterator, Awaitable, Callable

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from gristmill.errors import Fault, InvalidRequest, MalformedRequest, TooLarge

FILE = "file"
FIELDS = ("name", "format", "options")
MAX_FIELD_BYTES = 64 * 1024
MAX_SEGMENTS = 8

OnBytes = Callable[[bytes], Awaitable[None]]


class Form:
    """What came in a form: the fields by name, and what the file said of itself. Its bytes went to `on_file`."""

    def __init__(self, on_file: OnBytes) -> None:
        self.fields: dict[str, bytes] = {}
        self.filename: str | None = None
        self.media_type = ""
        self.has_file = False
        self._on_file = on_file
        self._current: MultipartSegment | None = None

    async def read(self, chunks: AsyncIterator[bytes], *, boundary: str) -> None:
        """Take the whole body.

        Raises:
            MalformedRequest: not a form, or cut off.
            InvalidRequest: a field that we don't know, one that comes twice, or no file.
            TooLarge: a field beyond 64 KiB, or headers that are too many or too long.
        """
        try:
            with PushMultipartParser(boundary, max_segment_count=MAX_SEGMENTS) as parser:
                async for chunk in chunks:
                    for event in () if parser.closed else parser.parse(chunk):
                        await self._take(event)
        except ParserLimitReached:
            raise TooLarge("The form has too many fields, or too long headers.") from None
        except MultipartError:
            raise MalformedRequest("The body is not a complete multipart/form-data form.") from None
        if not self.has_file:
            raise InvalidRequest("The form has no file.", errors=(Fault(f"/{FILE}", "It is missing."),))

    def text(self, name: str) -> str | None:
        """A field as text. Raises InvalidRequest: it is not UTF-8."""
        raw = self.fields.get(name)
        try:
            return None if raw is None else raw.decode()
        except UnicodeDecodeError:
            raise InvalidRequest("A field is not UTF-8.", errors=(Fault(f"/{name}", "Not UTF-8."),)) from None

    async def _take(self, event: MultipartSegment | bytes | None) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is not None and self._current is not None:
            await self._add(self._current.name or "", bytes(event))

    def _begin(self, segment: MultipartSegment) -> None:
        name = segment.name or ""
        if name not in (FILE, *FIELDS):
            fault = Fault(f"/{name}"[:100], f"There is no such field; there are {', '.join((FILE, *FIELDS))}.")
            raise InvalidRequest("The form has an unknown field.", errors=(fault,))
        if name in self.fields or (name == FILE and self.has_file):
            raise InvalidRequest("The form has a field twice.", errors=(Fault(f"/{name}", "It is there twice."),))
        self._current = segment
        if name == FILE:
            self.has_file = True
            self.filename = segment.filename
            self.media_type = (segment.content_type or "").lower()
        else:
            self.fields[name] = b""

    async def _add(self, name: str, content: bytes) -> None:
        if name == FILE:
            await self._on_file(content)
            return
        self.fields[name] += content
        if len(self.fields[name]) > MAX_FIELD_BYTES:
            raise TooLarge(f"The field {name} has more than {MAX_FIELD_BYTES} bytes.")
