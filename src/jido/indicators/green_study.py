"""Urban green, income and happiness of countries: the study of Kwon et al. 2021 on any country table.

What the paper did (EPJ Data Science 2021, arXiv 2101.00807): 90 cities of 60 countries, Sentinel-2 at
10 m, summer months (June to September in the north, December to February in the south); urban green
space = log(sum of NDVI over the city / inhabitants). Green and income each go with happiness; of both
together only green does in the 30 richest countries, only income in the 30 others, with a change at
about 38,000 US$ a head; social support mediates, income moderates the effect of green.

Where this differs:

- The table of the paper is not public. Green is whatever the caller gives, as long as it is above 0;
  only a quantity per head is the paper's. NDVI per pixel is not: a poor city in the rain forest has much.
- Two halves are compared by the difference of their slopes. That one slope is clear of 0 and the other
  is not does not say that they differ (Gelman and Stern 2006, doi 10.1198/000313006X152649).
- The change of slope is searched for, with a p value and an interval, not set.
- Mediation is told twice, without income and with income held fixed: rich countries have more of all.
- All intervals come from countries drawn anew. Neighbours are alike: give parts of the world as groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from jido.errors import JidoError
from jido.stats.intervals import Figure, figure
from jido.stats.regression import (
    Correlated,
    Mediation,
    Moderation,
    Regression,
    Resampling,
    Threshold,
    correlate,
    mediate,
    moderate,
    ols,
    threshold,
)
from jido.stats.words import text

MODEL = ("log green", "log gdp")
"""Predictors of every line; natural logarithms."""


@dataclass(frozen=True, eq=False)
class CountryTable:
    """A row per country; NaN = not known.

    Args:
        names: (n,) text, all different.
        happiness: (n,) score above 0, such as the ladder of 0 to 10.
        green: (n,) above 0: green area a head, or mean NDVI.
        gdp: (n,) gross domestic product a head in US$, above 0.
        social_support: (n,).
        weights: (n,) of the countries in every line; all alike when not given.
        groups: (n,) such as parts of the world: countries of a group are drawn together.

    Raises:
        JidoError: when lengths differ, a name comes twice, or what has a logarithm is not above 0.
    """

    names: np.ndarray
    happiness: np.ndarray
    green: np.ndarray
    gdp: np.ndarray
    social_support: np.ndarray
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        columns = ("happiness", "green", "gdp", "social_support", "weights", "groups")
        for name in columns:
            part = getattr(self, name)
            if part is not None and np.shape(part) != (len(self.names),):
                raise JidoError(f"{len(self.names)} countries have {name} of shape {np.shape(part)}.")
        for name in columns[:3]:
            if (below := np.flatnonzero(getattr(self, name) <= 0)).size:
                one, number = str(self.names[below[0]]), getattr(self, name)[below[0]]
                raise JidoError(
                    f"{name} of {one!r} is {number:g}, which has no logarithm: give numbers above 0, or NaN "
                    "where it is not known."
                )
        names, counts = np.unique(self.names, return_counts=True)
        if (counts > 1).any():
            raise JidoError(f"{str(names[counts > 1][0])!r} comes {counts.max()} times: one row a country.")

    @property
    def complete(self) -> np.ndarray:
        """Bool (n,): rows with all numbers."""
        parts = (self.happiness, self.green, self.gdp, self.social_support)
        return np.asarray(np.isfinite(np.stack(parts)).all(axis=0))

    def select(self, chosen: np.ndarray) -> CountryTable:
        """Some of the countries, by mask or place."""
        parts: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, **{name: part[chosen] for name, part in parts.items() if part is not None})

    def richest(self, count: int) -> np.ndarray:
        """Bool (n,): the ``count`` countries with the highest gdp of those that are complete.

        Raises:
            JidoError: when there are not as many.
        """
        order = np.argsort(np.where(self.complete, -self.gdp, np.inf), kind="stable")
        if not 0 < count < self.complete.sum():
            raise JidoError(
                f"{count} richest of {self.complete.sum()} complete countries leave none on one side: give "
                "another number."
            )
        return np.isin(np.arange(len(order)), order[:count])


@dataclass(frozen=True, eq=False)
class CountryMeans:
    """Means by country in alphabetical order: arrays (m,), NaN where no city has a value."""

    names: np.ndarray
    value: np.ndarray
    cities: np.ndarray


@dataclass(frozen=True)
class Half:
    """Countries of one half: lowest and highest gdp, correlations with happiness, and the line of both."""

    gdp: tuple[float, float]
    green: Correlated
    log_gdp: Correlated
    model: Regression


@dataclass(frozen=True)
class GreenStudy:
    """What :func:`green_study` found.

    Args:
        countries: complete ones, which are used.
        left_out: names of the others.
        correlations: of happiness with ``green``, ``log green``, ``log gdp`` and ``social support``.
        model: happiness ~ log green + log gdp.
        log_log: log happiness ~ log green + log gdp: elasticities.
        rich: the richest countries.
        others: the rest.
        difference: slopes of the rich minus those of the others.
        threshold: the line of ``model`` broken at a log gdp.
        threshold_gdp: the same in US$ a head.
        mediation: log green -> social support -> happiness.
        mediation_given_gdp: the same with log gdp held fixed.
        moderation: slope of log green by log gdp; simple slopes at mean - sd, mean, mean + sd.
    """

    countries: int
    left_out: tuple[str, ...]
    correlations: dict[str, Correlated]
    model: Regression
    log_log: Regression
    rich: Half
    others: Half
    difference: dict[str, Figure]
    threshold: Threshold
    threshold_gdp: Figure
    mediation: Mediation
    mediation_given_gdp: Mediation
    moderation: Moderation

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def to_markdown(self) -> str:
        """A table: what was asked, of how many countries, the figure and its interval, clear of 0 or not."""
        head = ["| question | countries | figure | clear of 0 |", "|---|---|---|---|"]
        return "\n".join(head + [f"| {' | '.join(row)} |" for row in self._lines()])

    def _lines(self) -> Iterator[tuple[str, str, str, str]]:
        for name, found in self.correlations.items():
            yield _line(f"r(happiness, {name})", found.n, found.pearson)
            yield _line(f"rank correlation (happiness, {name})", found.n, found.spearman)
        for words, model in (("happiness", self.model), ("log happiness", self.log_log)):
            yield from _model_lines(f"all: {words}", model)
        for words, half in (("richest", self.rich), ("others", self.others)):
            low, high = half.gdp
            where = f"{words} ({low:,.0f} to {high:,.0f} US$)"
            yield _line(f"{where}: r(happiness, log green)", half.green.n, half.green.pearson)
            yield _line(f"{where}: r(happiness, log gdp)", half.log_gdp.n, half.log_gdp.pearson)
            yield from _model_lines(f"{where}: happiness", half.model)
        for name, one in self.difference.items():
            yield _line(f"slope of {name}, richest minus others", self.countries, one)
        split = self.threshold
        yield (*_line("split point, US$ a head", self.countries, self.threshold_gdp, digits=0)[:3], "")
        yield "one line against two: sup F, p", str(self.countries), f"{split.sup_f:.2f}, {split.p:.3f}", ""
        for words, half_line in (("below the split", split.below), ("above it", split.above)):
            yield from _model_lines(f"{words}: happiness", half_line)
        for words, way in (("", self.mediation), (", given log gdp", self.mediation_given_gdp)):
            yield _line(f"log green -> social support -> happiness{words}: a b", way.n, way.indirect)
            yield _line(f"direct{words}", way.n, way.direct)
        yield _line("log green x log gdp on happiness", self.moderation.n, self.moderation.interaction)
        for at, slope in self.moderation.slopes:
            yield _line(f"slope of log green at {np.exp(at):,.0f} US$", self.moderation.n, slope)


def _line(question: str, n: int, one: Figure, *, digits: int = 3) -> tuple[str, str, str, str]:
    lower, upper = one["lower"], one["upper"]
    clear = "" if lower is None or upper is None else "yes" if lower > 0 or upper < 0 else "no"
    return question, str(n), text(one, digits=digits), clear


def _model_lines(words: str, model: Regression) -> Iterator[tuple[str, str, str, str]]:
    for one in model.coefficients:
        yield _line(f"{words}, beta of {one.name}", model.n, one.standardised)


def country_means(
    values: np.ndarray, countries: np.ndarray, *, weights: np.ndarray | None = None
) -> CountryMeans:
    """Weighted means of cities by country: sum(w v) / sum(w).

    Args:
        values: of cities (n,); NaN is left out together with its weight.
        countries: names (n,).
        weights: inhabitants of the cities, or areas (n,); all alike when not given, so that a town counts
            as much as a capital.

    Raises:
        JidoError: when lengths differ, or a weight is below 0 or missing.
    """
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(values) == len(countries) == len(weight):
        raise JidoError(
            f"{len(values)} values, {len(countries)} countries and {len(weight)} weights: give one a city."
        )
    if not (weight >= 0).all():
        raise JidoError("A weight of a city is below 0 or missing: give 0 to cities that are not to count.")
    names, owner = np.unique(countries, return_inverse=True)
    weight = np.where(np.isfinite(values), weight, 0)
    whole, total = (
        np.bincount(owner, part, minlength=len(names)) for part in (weight, weight * np.nan_to_num(values))
    )
    mean = np.divide(total, whole, out=np.full(len(names), np.nan), where=whole > 0)
    return CountryMeans(names, mean, np.bincount(owner[weight > 0], minlength=len(names)))


def green_study(
    table: CountryTable,
    *,
    richest: int = 30,
    trim: float = 0.15,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> GreenStudy:
    """The study of the paper: correlation, regression, two halves, split point, mediation, moderation.

    Args:
        table: of countries; those that are not complete are left out.
        richest: countries of the first half; 30 of 60 in the paper.
        trim: least share of the countries on each side of the split point.
        level: of the intervals.
        draws: of the bootstrap.
        seed: of the draws.

    Raises:
        JidoError: when countries are too few, or a column does not vary.
    """
    used, rich = table.select(table.complete), table.richest(richest)[table.complete]
    green, gdp, support, y = np.log(used.green), np.log(used.gdp), used.social_support, used.happiness
    both = np.column_stack([green, gdp])
    how = _how(used, Resampling(level=level, draws=draws, seed=seed))
    columns = {"green": used.green, "log green": green, "log gdp": gdp, "social support": support}
    split = threshold(y, both, gdp, names=MODEL, trim=trim, resampling=how)
    return GreenStudy(
        countries=len(y),
        left_out=tuple(str(name) for name in table.names[~table.complete]),
        correlations={name: correlate(part, y, resampling=how) for name, part in columns.items()},
        model=ols(y, both, names=MODEL, resampling=how),
        log_log=ols(np.log(y), both, names=MODEL, resampling=how),
        rich=_half(used.select(rich), how),
        others=_half(used.select(~rich), how),
        difference=_difference(y, both, rich, how),
        threshold=split,
        threshold_gdp=_exp(split.at),
        mediation=mediate(y, green, support, resampling=how),
        mediation_given_gdp=mediate(y, green, support, given=gdp, resampling=how),
        moderation=moderate(y, green, gdp, resampling=how),
    )


def _how(table: CountryTable, how: Resampling) -> Resampling:
    return replace(how, weights=table.weights, groups=table.groups)


def _half(table: CountryTable, how: Resampling) -> Half:
    part = _how(table, how)
    green, gdp, y = np.log(table.green), np.log(table.gdp), table.happiness
    return Half(
        (float(table.gdp.min()), float(table.gdp.max())),
        correlate(green, y, resampling=part),
        correlate(gdp, y, resampling=part),
        ols(y, np.column_stack([green, gdp]), names=MODEL, resampling=part),
    )


def _difference(y: np.ndarray, both: np.ndarray, rich: np.ndarray, how: Resampling) -> dict[str, Figure]:
    """Slopes of the rich minus those of the others: products with being rich in one line of all."""
    away = both - both.mean(axis=0)
    design = np.column_stack([away, rich, away * rich[:, None]])
    found = ols(y, design, names=(*MODEL, "rich", *(f"{name} x rich" for name in MODEL)), resampling=how)
    return {name: found[f"{name} x rich"].raw for name in MODEL}


def _exp(one: Figure) -> Figure:
    ends = (one["value"], one["lower"], one["upper"])
    return figure(*(np.nan if end is None else float(np.exp(end)) for end in ends))
