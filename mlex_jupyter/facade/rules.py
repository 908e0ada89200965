"""Rules: on what event, which job."""

from __future__ import annotations

from typing import Literal

from mlex_jupyter.facade.parts import Parts
from mlex_jupyter.jobs.rules import Changes
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
        do: Literal["train", "pretrain", "predict", "run"],
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

    @verb("POST", "/rules/{name}/edit", flags={"fields": "p"})
    async def rule_edit(
        self,
        name: str,
        *,
        rename: str | None = None,
        on: On | None = None,
        do: Literal["train", "pretrain", "predict", "run"] | None = None,
        fields: dict[str, str] = {},
        remove_fields: tuple[str, ...] = (),
        match: str | None = None,
        add_tags: tuple[str, ...] = (),
        remove_tags: tuple[str, ...] = (),
        target: str | None = None,
        resources: Resources | None = None,
        again: bool | None = None,
        enabled: bool | None = None,
        seen: int | None = None,
    ) -> Rule:
        """Change what a rule says; what is left out stays, and it holds for what happens from now on."""
        if target is not None:
            self.all_targets.get(target)
        said = {"name": rename, "on": on, "do": do, "match": match, "target": target, "again": again}
        changes = Changes(
            {field: value for field, value in {**said, "enabled": enabled}.items() if value is not None},
            *(fields, remove_fields, add_tags, remove_tags),
            {} if resources is None else resources.model_dump(exclude_unset=True),
        )
        rule = await self.rule_list.edit(name, changes, seen)
        self.keep_moving()
        return rule

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
