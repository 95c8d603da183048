"""When a dataset is to go by itself."""

from datetime import UTC, datetime

from gristmill.api.submit import checked_time
from gristmill.errors import Fault, InvalidRequest


def checked_expiry(moment: datetime | None) -> datetime | None:
    """The same time. Raises InvalidRequest: it is over, or too far away."""
    checked_time(moment, "/expires_at")
    if moment is not None and moment <= datetime.now(UTC):
        raise InvalidRequest("The time does not fit.", errors=(Fault("/expires_at", "It must be to come."),))
    return moment
