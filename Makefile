.PHONY: setup demo look pictures test lint pytest compose-test bench lock vendor
bin := .venv/bin
# A file's tests stay in one process, so that what they start is started once.
workers := 2
benchmarks := import_time save metrics tag_query_latest plan web spark_batch large_model serving serving_formats swaps image

setup: .venv/ready

.venv/ready: requirements.lock setup.cfg .ci/setup
	.ci/setup

home := demo-home
demo: setup
	PYTHONPATH=dags $(bin)/python -m demo $(home)

# Airflow over what the demo left, until Ctrl-C.
port := 8080
look: setup
	@PYTHONPATH=dags $(bin)/python -m demo.look $(home) $(port)

# Those of the pages in docs/images, of what the demo left.
pictures: setup
	PYTHONPATH=dags $(bin)/python docs/images/take.py $(home)

# Failing checks do not hide failing tests.
MAKEFLAGS += --keep-going

test: lint pytest

pytest: setup
	$(bin)/pytest -n $(workers) --dist loadfile

# Brings docker-compose.airflow.yml up and runs the demo in it: minutes, and gigabytes.
compose-test: setup
	MODEL_ENVELOPE_TEST_COMPOSE=1 $(bin)/pytest tests/e2e/test_compose.py

lint: setup
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports

bench: setup
	for name in $(benchmarks); do $(bin)/python -m benchmarks.$$name || exit 1; done

lock:
	$(bin)/uv pip compile setup.cfg --extra all --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
		--quiet --output-file requirements.lock

# The JavaScript of others that the pages are drawn with; needs npm, and is needed by few.
vendor:
	.ci/vendor
