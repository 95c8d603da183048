"""The names of months in English, German, French and Spanish, whole and cut short."""

from typing import Final

_NAMES: Final = (
    "jan january januar jänner janvier janv enero ene",
    "feb february februar feber février fevrier févr fevr fév febrero",
    "mar march märz maerz mrz mär mars marzo",
    "apr april avril avr abril abr",
    "may mai mayo",
    "jun june juni juin junio",
    "jul july juli juillet juil julio",
    "aug august août aout agosto ago",
    "sep sept september septembre septiembre setiembre",
    "oct october oktober okt octobre octubre",
    "nov november novembre noviembre",
    "dec december dezember dez décembre decembre déc diciembre dic",
)
MONTHS: Final = {name: str(month) for month, names in enumerate(_NAMES, start=1) for name in names.split()}
