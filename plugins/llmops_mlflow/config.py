"""What a recipe may say of MLflow."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmops_core.settings import setting


@dataclass(frozen=True)
class MLflowTrack:
    """Records a run in MLflow."""

    uri: str = setting(
        "",
        doc="A server's address (http://...) or a database's (sqlite:///...). Empty: the file mlflow.db in "
        "the store's folder.",
        output=False,
    )
    database: str | None = setting(
        None,
        doc="In place of uri, the name of a secret that holds it: for a database's address with a password.",
        secret=True,
        output=False,
    )
    experiment: str = setting("", doc="The experiment's name. Empty: the recipe's.", output=False)
    artifacts: str = setting(
        "",
        doc="Where MLflow keeps a run's report, when it has no server to ask. Empty: the folder "
        "mlflow-artifacts in the store's folder.",
        output=False,
    )
    registry: bool = setting(
        True, doc="Whether releases become versions of a registered model.", output=False
    )
    model: str = setting("", doc="The registered model's name. Empty: the recipe's.", output=False)
    timeout: float = setting(
        20.0, doc="How long one request to a server may take.", unit="seconds", at_least=1, output=False
    )
    wait: float = setting(
        30.0,
        doc="How long the run's end waits for what is not yet sent.",
        unit="seconds",
        at_least=0,
        output=False,
    )

    def __post_init__(self) -> None:
        if re.search(r"//[^/@]*:[^/@]*@", self.uri):
            raise ValueError(
                "uri holds a password, which would be written to records: write database=${secret:NAME}"
            )
        if self.uri and self.database:
            raise ValueError("uri and database name the same thing: leave one of them out")
