fixtures:
	scripts/fixtures
fixtures-update:
	scripts/fixtures --update
.PHONY: fixtures fixtures-update
