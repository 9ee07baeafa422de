"""Checkpoints of transformers, for texts, images and audio: read safely, and made anew."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from torch import Tensor, nn

from amodal.errors import SettingError
from amodal.media.ast import AstDecoder
from amodal.media.audio import RATE
from amodal.media.image import RESAMPLING, ImageDecoder

__all__ = [
    "Backbone",
    "audio_reader",
    "build_backbone",
    "fingerprint",
    "hidden_states",
    "image_reader",
    "kind_of",
    "longest",
    "read_backbone",
    "read_config",
    "read_model",
    "read_tokenizer",
    "unreadable",
]

AST = "audio-spectrogram-transformer"
_OFFSET = ("roberta", "xlm-roberta", "camembert", "longformer", "mpnet")
_FAILURES = (
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
    ImportError,
    AttributeError,
    TypeError,
    SafetensorError,
)


@dataclass(frozen=True, eq=False)
class Backbone:
    """A network of a checkpoint, and what must be known to use it without the checkpoint.

    Args:
        module: gives ``last_hidden_state``.
        config: of the network.
        facts: of what it is fed with: a tokenizer's rules, sizes, means.
    """

    module: nn.Module
    config: dict[str, Any]
    facts: dict[str, Any]

    @property
    def width(self) -> int:
        """Size of the hidden states."""
        return int(self.module.config.hidden_size)

    def to_text(self) -> str:
        """What `build_backbone` needs besides weights."""
        return json.dumps({**self.facts, "config": self.config})


# -- reading --------------------------------------------------------------------------------------


def read_backbone(source: str, kind: str) -> Backbone:
    """The checkpoint of an encoder of `kind`, weights read from safetensors only.

    Args:
        source: a folder that transformers saved, or an id of the Hugging Face hub.
        kind: "text", "image" or "audio".

    Raises:
        SettingError: there is none of that name or kind, or it cannot be read.
    """
    config = read_config(source)
    found = kind_of(config)
    if found != kind:
        raise unreadable(source, f"it reads {found or 'something else'}, not {kind}", kind)
    module, _ = read_model(source, kind)
    if kind == "text":
        tokenizer = read_tokenizer(source)
        most = longest(tokenizer, module.config)
        facts = {"tokenizer": tokenizer.backend_tokenizer.to_str(), "max_tokens": most}
    else:
        facts = {"reader": _processor(source, kind)}
    return Backbone(module, _plain(module.config), facts)


def build_backbone(text: str, kind: str) -> Backbone:
    """The network that `Backbone.to_text` describes, its weights not yet those of the checkpoint."""
    transformers = _transformers()
    facts = json.loads(text)
    config = dict(facts.pop("config"))
    made = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
    module = _without_pooler(transformers.AutoModel.from_config(made))
    return Backbone(module, _plain(module.config), facts)


def _plain(config: Any) -> dict[str, Any]:
    """The configuration without what tells of this machine."""
    return {k: v for k, v in config.to_dict().items() if k != "_name_or_path"}


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise SettingError(
            "checkpoints are read by transformers; it is not installed; pip install 'amodal[text]'"
        ) from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def read_config(source: str) -> Any:
    """The configuration of a checkpoint; code that comes with one is not run.

    Raises:
        SettingError: no such checkpoint, or one that needs code of its own.
    """
    transformers = _transformers()
    if not Path(source).is_dir() and source.count("/") != 1:
        raise unreadable(source, "there is no such folder, and an id of the hub is owner/name")
    try:
        return transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
    except _FAILURES as error:
        raise unreadable(source, _told(error)) from None


def kind_of(config: Any) -> str:
    """What a network reads, by its configuration: "text", "image", "audio", or "" if unclear.

    >>> from types import SimpleNamespace
    >>> kind_of(SimpleNamespace(model_type="vit", num_channels=3)), kind_of(SimpleNamespace())
    ('image', '')
    """
    model = getattr(config, "model_type", "")
    if model == AST:
        return "audio"
    if hasattr(config, "vocab_size"):
        return "text"
    return "image" if hasattr(config, "num_channels") else ""


def read_model(source: str, kind: str = "text") -> tuple[nn.Module, set[str]]:
    """The network in single precision, and the names of the weights that were there.

    Weights are read as safetensors alone: older files are pickles.

    Raises:
        SettingError: it cannot be read, lacks weights, or is no encoder alone.
    """
    transformers = _transformers()
    try:
        model, report = transformers.AutoModel.from_pretrained(
            source,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            use_safetensors=True,
        )
    except _FAILURES as error:
        raise unreadable(source, _told(error), kind) from None
    lacking = {name for name in report["missing_keys"] if "pooler" not in name}
    if lacking:
        raise unreadable(source, f"it lacks {len(lacking)} weights of its encoder", kind)
    config = model.config
    if getattr(config, "is_encoder_decoder", False) or not hasattr(config, "hidden_size"):
        raise unreadable(source, f"it is no encoder alone ({config.model_type})", kind)
    loaded = set(model.state_dict()) - set(report["missing_keys"])
    return _without_pooler(model), loaded


def _without_pooler(model: nn.Module) -> nn.Module:
    """The network without the layer behind its first hidden state, which nobody asks for."""
    if "add_pooling_layer" in inspect.signature(type(model).__init__).parameters:
        model.pooler = None
    return model


def read_tokenizer(source: str) -> Any:
    """The fast tokenizer of a checkpoint.

    Raises:
        SettingError: it has none.
    """
    transformers = _transformers()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except _FAILURES as error:
        raise unreadable(source, _told(error)) from None
    if not getattr(tokenizer, "is_fast", False):
        raise unreadable(source, "it has no fast tokenizer; convert that with transformers")
    return tokenizer


def longest(tokenizer: Any, config: Any) -> int:
    """How many tokens a window may have, special ones included.

    >>> from types import SimpleNamespace
    >>> known = SimpleNamespace(max_position_embeddings=514, model_type="roberta", pad_token_id=1)
    >>> longest(SimpleNamespace(model_max_length=10**9), known)  # two positions are the padding's
    512
    """
    most = int(getattr(config, "max_position_embeddings", None) or 10**9)
    if getattr(config, "model_type", "") in _OFFSET:  # positions begin behind the padding's
        most -= int(getattr(config, "pad_token_id", None) or 0) + 1
    return min(most, int(tokenizer.model_max_length))


def _told(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def unreadable(source: str, reason: str, kind: str = "text") -> SettingError:
    """The error for a checkpoint that cannot be used.

    >>> print(unreadable("no/such", "it is not there"))
    an encoder of texts is 'hashing', a folder that transformers saved, or an id of the hub; ...
    """
    others = "'hashing', " if kind == "text" else ""
    return SettingError(
        f"an encoder of {kind}s is {others}a folder that transformers saved, or an id of the hub; "
        f"{source!r} cannot be read: {reason}; check the name, or download it first"
    )


_NO_CONTENT = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures")


def fingerprint(head: Mapping[str, Any], model: nn.Module, loaded: Collection[str]) -> str:
    """Of all that changes a vector: what `head` says, the configuration and the weights loaded."""
    config = {k: v for k, v in model.config.to_dict().items() if k not in _NO_CONTENT}
    facts = json.dumps({**head, "config": config}, sort_keys=True, default=str)
    digest = hashlib.sha256(facts.encode())
    for name, tensor in sorted(model.state_dict().items()):
        if name in loaded:
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


# -- what a network is fed with -------------------------------------------------------------------


def _processor(source: str, kind: str) -> dict[str, Any]:
    """The settings beside a checkpoint that say how pictures or sounds are read."""
    from transformers.utils import cached_file

    try:
        found = cached_file(source, "preprocessor_config.json")
        return json.loads(Path(found).read_text(encoding="utf-8"))
    except _FAILURES as error:
        raise unreadable(source, f"no preprocessor_config.json: {_told(error)}", kind) from None


def image_reader(facts: dict[str, Any]) -> tuple[ImageDecoder, list[float], list[float]]:
    """(what reads pictures for a checkpoint, mean and deviation of each channel).

    >>> reader = {"size": {"height": 8, "width": 8}, "resample": 2}
    >>> image_reader({"reader": reader})[0]
    ImageDecoder(height=8, width=8, fit='stretch', resample='bilinear', border=0.0)
    """
    told = facts["reader"]
    how = RESAMPLING[min(int(told.get("resample", 2)), 3)]
    size, crop = told["size"], told.get("crop_size")
    size = {"height": size, "width": size} if isinstance(size, int) else size
    if told.get("do_center_crop") and crop:
        crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
        side = min(crop["height"], crop["width"])
        short = size.get("shortest_edge") or min(size["height"], size["width"])
        border = max(0.0, (1 - side / short) / 2)
        decoder = ImageDecoder(crop["height"], crop["width"], "crop", how, border)
    elif "shortest_edge" in size:
        decoder = ImageDecoder(size["shortest_edge"], 0, "crop", how)
    else:
        decoder = ImageDecoder(size["height"], size["width"], "stretch", how)
    if not told.get("do_normalize", True):
        return decoder, [0.0] * 3, [1.0] * 3
    return decoder, list(told.get("image_mean", [0.5] * 3)), list(told.get("image_std", [0.5] * 3))


def audio_reader(facts: dict[str, Any]) -> AstDecoder:
    """What reads sounds for a checkpoint.

    Raises:
        SettingError: it was trained at another rate than 16 kHz.

    >>> audio_reader({"reader": {"sampling_rate": 8_000}})
    Traceback (most recent call last):
    amodal.errors.SettingError: checkpoints of audio read 16000 samples a second; this one reads ...
    """
    told = facts["reader"]
    if told.get("sampling_rate", RATE) != RATE:
        raise SettingError(
            f"checkpoints of audio read {RATE} samples a second; this one reads "
            f"{told['sampling_rate']}; choose another"
        )
    known = ("num_mel_bins", "max_length", "do_normalize", "mean", "std", "sampling_rate")
    return AstDecoder(json.dumps({k: told[k] for k in known if k in told}, sort_keys=True))


def hidden_states(
    module: nn.Module, inputs: dict[str, Tensor], present: Bool[Tensor, "v t"] | None
) -> tuple[Float[Tensor, "v t h"], Bool[Tensor, "v t"]]:
    """The last hidden states of each token, and which tokens are there.

    >>> from types import SimpleNamespace
    >>> def network(**inputs):  # 5 channels of 2 x 3 fields
    ...     return SimpleNamespace(last_hidden_state=torch.zeros(1, 5, 2, 3))
    >>> hidden, present = hidden_states(network, {}, None)
    >>> hidden.shape, bool(present.all())
    (torch.Size([1, 6, 5]), True)
    """
    hidden = module(**inputs).last_hidden_state
    if hidden.ndim == 4:  # a convolutional network: channels, rows, columns
        hidden = hidden.flatten(2).transpose(1, 2)
    if present is None:
        present = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
    return hidden, present
