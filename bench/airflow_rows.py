"""Put runs and tasks into Airflow's database without running them: for measurements, and nothing else.

Runs inside the environment that holds Airflow; a state ``running@EXECUTOR`` names who runs the task. Prints, for each
running task, its id and its token of the Execution API as one line of JSON:

    .venv-airflow/bin/python bench/airflow_rows.py DAG RUN TASK STATE [TASK STATE …]
"""

from __future__ import annotations

import json
import sys
import uuid
from datetime import datetime, timezone

from airflow.executors.base_executor import BaseExecutor
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.tasklog import LogTemplate
from airflow.utils.session import create_session
from airflow.utils.types import DagRunType
from sqlalchemy import func, insert, select

NOW = datetime(2024, 11, 20, 12, tzinfo=timezone.utc)


def main() -> None:
    """Insert a DAG, one run of it, and its tasks."""
    dag_id, run_id, *tasks = sys.argv[1:]
    with create_session() as session:
        if session.scalar(select(DagBundleModel.name).where(DagBundleModel.name == "bench")) is None:
            session.execute(insert(DagBundleModel).values(name="bench", active=True))
        if session.scalar(select(DagModel.dag_id).where(DagModel.dag_id == dag_id)) is None:
            session.execute(
                insert(DagModel).values(
                    dag_id=dag_id,
                    bundle_name="bench",
                    fileloc="bench.py",
                    max_active_tasks=1,
                    max_consecutive_failed_dag_runs=0,
                    has_task_concurrency_limits=False,
                )
            )
        session.execute(
            insert(DagRun).values(
                dag_id=dag_id,
                run_id=run_id,
                run_type=DagRunType.MANUAL,
                run_after=NOW,
                start_date=NOW,
                state="running",
                log_template_id=session.scalar(select(func.max(LogTemplate.id))),
            )
        )
        tokens = {}
        sign = BaseExecutor.jwt_generator.func(None)
        for task_id, wanted in zip(tasks[::2], tasks[1::2], strict=True):
            state, _, executor = wanted.partition("@")
            number = uuid.uuid4()
            tokens[task_id] = f"{number} {sign.generate({'sub': str(number)})}"
            session.execute(
                insert(TaskInstance).values(
                    id=number,
                    executor=executor or None,
                    pid=1,
                    dag_id=dag_id,
                    run_id=run_id,
                    task_id=task_id,
                    map_index=-1,
                    try_number=1,
                    max_tries=0,
                    state=state,
                    hostname="",
                    unixname="bench",
                    pool="default_pool",
                    pool_slots=1,
                    queue="default",
                    priority_weight=1,
                    operator="EmptyOperator",
                    executor_config={},
                    start_date=NOW,
                    span_status="ended",
                )
            )
    print(json.dumps(tokens))


if __name__ == "__main__":
    main()
