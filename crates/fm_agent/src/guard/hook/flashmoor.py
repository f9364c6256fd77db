# Written by `flashmoor guard install`; `flashmoor guard uninstall` removes it.
"""Captures the firmware that running guests use before dnf replaces its package."""
import subprocess
import sys

import dnf

PROGRAM = "@PROGRAM@"
OPTIONS = "@OPTIONS@".split()
TIMEOUT_S = @TIMEOUT_S@
BLOCK = @BLOCK@


class Flashmoor(dnf.Plugin):
    name = "flashmoor"

    def pre_transaction(self):
        transaction = self.base.transaction
        leaving = transaction.remove_set if transaction else ()
        files = [path for package in leaving for path in package.files]
        block = ["--block"] if BLOCK else []
        status = self._run(["before", "--files", *block], files)
        if BLOCK and status != 0:
            raise dnf.exceptions.Error("flashmoor: a guest that is in use could not be captured")

    def transaction(self):
        self._run(["after"], ())

    def _run(self, words, lines):
        text = "".join(line + "\n" for line in lines).encode(errors="surrogateescape")
        command = [PROGRAM, "guard", *words, *OPTIONS]
        try:
            return subprocess.run(command, input=text, timeout=TIMEOUT_S, check=False).returncode
        except (OSError, subprocess.SubprocessError) as error:
            print("flashmoor:", error, file=sys.stderr)
            return 1
