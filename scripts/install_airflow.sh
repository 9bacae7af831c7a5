#!/usr/bin/env bash
# Install Apache Airflow, and pytest to test in its company: `scripts/install_airflow.sh DIR CONSTRAINTS`.
# CONSTRAINTS is a pip freeze of a working environment; it names the version. Beside it may lie providers.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=$1
constraints=$2
version=$(sed -n 's/^apache-airflow-core==//p' "$constraints")
pytest=$(sed -n 's/^ *"\(pytest\(-timeout\)\?==[^"]*\)",$/\1/p' pyproject.toml)

scripts/make_venv.sh "$dir"
echo "installing Airflow $version …"
# shellcheck disable=SC2086 # two words
scripts/pip_install.sh "$dir" --constraint "$constraints" "apache-airflow==$version" apache-airflow-providers-standard $pytest
providers=${constraints/constraints/providers}
if [ -e "$providers" ]; then
    scripts/pip_install.sh "$dir" --no-deps --requirement "$providers"
fi
