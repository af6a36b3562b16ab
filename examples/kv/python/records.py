"""Logs in the form that a host takes for records: one JSON object a line, on stderr."""

import json
import logging
import sys
from datetime import datetime, timezone


class Records(logging.StreamHandler):
    """Takes what is logged with `extra={"attributes": {...}}`, too; the values are texts."""

    def __init__(self):
        super().__init__(sys.stderr)

    @staticmethod
    def level(name):
        """What LOG_LEVEL stands for."""
        names = {"trace": logging.DEBUG, "debug": logging.DEBUG, "warn": logging.WARNING, "error": logging.ERROR}
        return names.get(name.lower(), logging.INFO)

    def format(self, record):
        line = {
            "attributes": getattr(record, "attributes", {}),
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["stackTrace"] = logging.Formatter().formatException(record.exc_info)
        return json.dumps(line)
