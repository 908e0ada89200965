"""Rules: on what event, which job."""

from __future__ import annotations

from typing import Literal

from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.types import On, Resources, Rule, Trial
from mlex_jupyter.verbs import verb


class RuleVerbs(Parts):
    """What can be done with rules."""

    @verb("GET", "/rules")
    async def rules(self) -> list[Rule]:
        """List the rules, with how often each has made a job."""
        return await self.rule_list.all()

    @verb("POST", "/rules", status=201, flags={"fields": "p"})
    async def rule_add(
        self,
        name: str,
        *,
        on: On,
        do: Literal["train", "predict", "run"],
        fields: dict[str, str] = {},
        match: str = "*",
        tags: tuple[str, ...] = (),
        target: str = "local",
        resources: Resources = Resources(),
        again: bool = False,
        off: bool = False,
    ) -> Rule:
        """Ask for a job when something happens: `--on 'training done' --do predict -p model={run} -p data={data}`."""
        about = {"on": on, "do": do, "task": fields, "match": match, "tags": tags, "target": target}
        self.all_targets.get(target)
        return await self.rule_list.add(name=name, resources=resources, again=again, enabled=not off, **about)

    @verb("GET", "/rules/{name}/trial")
    async def rule_try(self, name: str, *, limit: int = 20) -> list[Trial]:
        """Show what a rule would have made of past events, without making it."""
        return await self.rule_list.trial(name, limit)

    @verb("POST", "/rules/{name}/on")
    async def rule_on(self, name: str) -> Rule:
        """Switch a rule on; it begins with what happens from now on."""
        rule = await self.rule_list.switch(name, True)
        self.keep_moving()
        return rule

    @verb("POST", "/rules/{name}/off")
    async def rule_off(self, name: str) -> Rule:
        """Switch a rule off."""
        return await self.rule_list.switch(name, False)

    @verb("POST", "/rules/{name}/remove")
    async def rule_remove(self, name: str) -> Rule:
        """Remove a rule; the jobs that it made stay."""
        return await self.rule_list.remove(name)
