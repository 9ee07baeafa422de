"""One file a method; `METHODS` lists them all."""

from __future__ import annotations

from importlib import import_module

from amodal.errors import unknown_name

__all__ = ["METHODS", "get_method"]

METHODS: dict[str, str] = {
    "aum": "amodal.methods.aum:AUM",
    "imro": "amodal.methods.imro:IMRO",
    "attention": "amodal.methods.attention:Attention",
    "concat": "amodal.methods.concat:Concat",
    "mean": "amodal.methods.mean:MeanFusion",
    "muse": "amodal.methods.muse:MUSE",
    "poe": "amodal.methods.poe:PoE",
    "tmc": "amodal.methods.tmc:TMC",
    "mt": "amodal.methods.mt:MT",
    "shaspec": "amodal.methods.shaspec:ShaSpec",
    "m3care": "amodal.methods.m3care:M3Care",
    "qmf": "amodal.methods.qmf:QMF",
    "grape": "amodal.methods.grape:GRAPE",
    "cmae": "amodal.methods.cmae:CMAE",
    "tfn": "amodal.methods.tfn:TFN",
    "misa": "amodal.methods.misa:MISA",
    "mult": "amodal.methods.mult:MulT",
    "boosting": "amodal.methods.boosting:Boosting",
    "forest": "amodal.methods.forest:Forest",
    "logistic": "amodal.methods.logistic:Logistic",
    "single": "amodal.methods.single:Single",
    "pattern": "amodal.methods.pattern:Pattern",
}
"""name -> where its class is; loaded when first asked for."""


def get_method(name: str) -> type:
    """The class of the method called `name`.

    Raises:
        UnknownNameError: there is none.

    >>> get_method("aum").year
    2026
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    module, _, attribute = METHODS[name].partition(":")
    return getattr(import_module(module), attribute)
