"""Who may see what, for tests: ``guest`` may see the DAG ``live_sample``, as long as no file says otherwise.

Holds no state. GUEST_DENIED in the environment is a file; while it exists, guests see nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

GUESTS_DAG = "live_sample"


class SampleAuthManager(SimpleAuthManager):  # type: ignore[misc] # untyped where Airflow is not installed
    """Airflow's simple one, with DAGs that not everybody may see."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **asked: Any) -> bool:  # noqa: ANN401 - Airflow's
        """Tell whether a user may see a DAG."""
        if user.username == "guest" and details is not None and details.id is not None:
            denied = Path(os.environ["GUEST_DENIED"]).exists()
            return details.id == GUESTS_DAG and not denied
        return bool(super().is_authorized_dag(user=user, details=details, **asked))
