.PHONY: test lint unit api e2e quickstart format generate
test: ; scripts/test
lint unit api e2e: ; scripts/test $@
quickstart: ; scripts/quickstart
generate: ; scripts/generate
format: ; .venv/bin/ruff format . && .venv/bin/ruff check --fix .
