"""What can go wrong in training, in words a researcher can act on."""


class TrainError(Exception):
    """Reason ``code``, a ``sentence`` and a ``remedy``, as in `s2ldm_core.errors.S2LDMError`."""

    def __init__(self, code: str, sentence: str, remedy: str = "") -> None:
        super().__init__(code, sentence, remedy)
        self.code, self.sentence, self.remedy = code, sentence, remedy

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}".rstrip()
