"""The conformance kit for plugins: what `llmops plugin check` runs, and suites to inherit.

A plugin's own package may hold a module `examples` with small inputs for the kit to try it on:

    from llmops_core.testing import Example, Material

    def examples(material: Material) -> Mapping[str, Example]:
        return {"data=acme": Example(config={"source": str(material.rows())})}

What an example leaves out is made by the kit. Its tests inherit `llmops_core.testing.suite.PluginSuite`,
which needs pytest; nothing else here does.
"""

from llmops_core.testing.examples import Example
from llmops_core.testing.material import Material

__all__ = ["Example", "Material"]
