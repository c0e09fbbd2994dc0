"""The JSON schema of a study, with which editors complete and check: ``python -m grokforget schema`` writes it."""

from __future__ import annotations

import json
from pathlib import Path

from grokforget.config.study import Study

SCHEMA = Path(__file__).parents[3] / "schemas" / "study.schema.json"


def schema_text() -> str:
    """The schema as it should stand in ``workflow/schemas/study.schema.json``."""
    return json.dumps(Study.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
