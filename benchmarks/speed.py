"""Decoding and encoding against the bare networks and against CompressAI, same weights and patches."""

from __future__ import annotations

import io
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.common import SIDE, best, compressai, paper_sized, save, scene, shipped, shipped_for_every_rate
from satstudy.codecs import AVIF, JPEG2000, LearnedCodec
from satstudy.codecs.learned.codec import BATCH
from satstudy.core.geometry import grid

#: CompressAI takes seconds a patch: a few stand for all 36, which cost the same.
COMPRESSAI_PATCHES = 3


def main() -> None:
    checkpoint, image = paper_sized(), scene()
    model = compressai(checkpoint.model)
    codec = LearnedCodec(checkpoint, "blend")
    layout = grid(SIDE, SIDE, 256, 8)
    patches = torch.stack([torch.from_numpy(image[p.top : p.bottom, p.left : p.right].copy()) for p in layout])
    data = codec.encode(image)
    with torch.inference_mode():
        x = patches.permute(0, 3, 1, 2).float() / 255
        y = torch.cat([codec.engine.transforms.analysis(part) for part in patches.split(4)])
        ys = list(y)
        stream, y_hat = codec.engine.entropy.encode(ys)
        latents = torch.stack(y_hat)

        def ours(function: Any, batch: torch.Tensor) -> None:
            for part in batch.split(BATCH[codec.engine.transforms.device.type]):
                function(part)

        figures: dict[str, Any] = {
            "patches": len(patches),
            "bpp": 8 * len(data) / SIDE**2,
            "decode_s": best(lambda: codec.decode(data)),
            "encode_s": best(lambda: codec.encode(image)),
            "bare_g_s_s": best(lambda: ours(codec.engine.transforms.synthesis, latents)),
            "bare_g_a_s": best(lambda: ours(codec.engine.transforms.analysis, patches)),
            "stock_g_s_s": best(lambda: ours(model.g_s, latents)),
            "stock_g_a_s": best(lambda: ours(model.g_a, x)),
            "entropy_decode_s": best(lambda: codec.engine.entropy.decode(stream, [(16, 16)] * len(ys))),
            "entropy_encode_s": best(lambda: codec.engine.entropy.encode(ys)),
        }
        some = x[:COMPRESSAI_PATCHES]
        scale = len(patches) / COMPRESSAI_PATCHES
        strings = [model.compress(part[None]) for part in some]
        figures["compressai_encode_s"] = scale * best(lambda: [model.compress(part[None]) for part in some], 2)
        figures["compressai_decode_s"] = scale * best(lambda: [model.decompress(**_arguments(s)) for s in strings], 2)
        bare = scale * best(lambda: [model.g_s(part[None]) for part in latents[:COMPRESSAI_PATCHES]], 2)
        bare_a = scale * best(lambda: [model.g_a(part[None]) for part in some], 2)
    figures |= {
        "decode / bare g_s (ours)": figures["decode_s"] / figures["bare_g_s_s"],
        "encode / bare g_a (ours)": figures["encode_s"] / figures["bare_g_a_s"],
        "decode / bare g_s (CompressAI's layers)": figures["decode_s"] / figures["stock_g_s_s"],
        "encode / bare g_a (CompressAI's layers)": figures["encode_s"] / figures["stock_g_a_s"],
        "CompressAI decode / ours": figures["compressai_decode_s"] / figures["decode_s"],
        "CompressAI encode / ours": figures["compressai_encode_s"] / figures["encode_s"],
        "CompressAI entropy decode / ours": (figures["compressai_decode_s"] - bare) / figures["entropy_decode_s"],
        "CompressAI entropy encode / ours": (figures["compressai_encode_s"] - bare_a) / figures["entropy_encode_s"],
    }
    megabytes = image.nbytes / 1e6
    for peer in (JPEG2000(bpp=figures["bpp"]), AVIF(50)):
        coded = peer.encode(image)
        figures[f"{peer.name} encode MB/s"] = megabytes / best(lambda peer=peer: peer.encode(image))
        figures[f"{peer.name} decode MB/s"] = megabytes / best(lambda peer=peer, coded=coded: peer.decode(coded))
    figures["mbt2018 encode MB/s (paper's size)"] = megabytes / figures["encode_s"]
    figures["mbt2018 decode MB/s (paper's size)"] = megabytes / figures["decode_s"]
    for name, weights in (("mbt2018", shipped()), ("learned", shipped_for_every_rate())):
        one = LearnedCodec(weights)
        coded = one.encode(image)
        figures[f"{name} encode MB/s"] = megabytes / best(lambda one=one: one.encode(image))
        figures[f"{name} decode MB/s"] = megabytes / best(lambda one=one, coded=coded: one.decode(coded))
    for action in ("encode", "decode"):
        figures[f"{action}: learned / mbt2018"] = figures[f"learned {action} MB/s"] / figures[f"mbt2018 {action} MB/s"]
    save("speed", figures)


def _arguments(coded: dict[str, Any]) -> dict[str, Any]:
    return {"strings": coded["strings"], "shape": coded["shape"]}


def transforms() -> None:
    """What a CPU offers for the bare transforms: each way, seconds for the patches of one image."""
    checkpoint = paper_sized()
    model, codec = checkpoint.model, LearnedCodec(checkpoint, "blend")
    latents = torch.randn(36, 192, 16, 16)
    last = torch.channels_last
    figures: dict[str, Any] = {}
    with torch.inference_mode():

        def run(function: Any, batch: int, form: Any = torch.contiguous_format) -> float:
            parts = [part.contiguous(memory_format=form) for part in latents.split(batch)]
            return best(lambda: [function(part) for part in parts], 2)

        figures["stock, batch 1"] = run(model.g_s, 1)
        figures["stock, batch 4"] = run(model.g_s, 4)
        figures["channels-last, batch 4"] = run(model.g_s.to(memory_format=last), 4, last)
        for batch in (1, 2, 4, 9, 36):
            figures[f"channels-last, folded GDN, batch {batch}"] = run(codec.engine.transforms.g_s, batch, last)
        try:
            compiled = torch.compile(codec.engine.transforms.g_s)
            figures["the same, torch.compile, batch 1"] = run(compiled, 1, last)
        except Exception as error:  # no compiler on this machine
            figures["the same, torch.compile, batch 1"] = f"not available ({type(error).__name__})"
        for name, runtime in (("OpenVINO", _openvino), ("ONNX Runtime", _onnx_runtime)):
            for batch in (1, 4):
                label = f"{name}, batch {batch}"
                try:
                    figures[label] = run(runtime(model.g_s, latents[:batch]), batch)
                except ImportError as error:
                    figures[label] = f"not installed ({error.name})"
        with torch.autocast("cpu", torch.bfloat16):
            figures["the same, bfloat16, batch 1"] = run(codec.engine.transforms.g_s, 1, last)
        ours = codec.engine.transforms.g_s(latents[:1].contiguous(memory_format=last))
        figures["mean square difference to stock"] = float(F.mse_loss(ours, model.g_s(latents[:1])))
    save("transforms", figures)


def _openvino(module: torch.nn.Module, example: torch.Tensor) -> Any:
    """`module` compiled by OpenVINO, float32 (it would take bfloat16 by itself where there is any)."""
    import openvino

    compiled = openvino.compile_model(
        openvino.convert_model(module, example_input=example),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"},
    )
    return lambda x: compiled(x.numpy())[0]


def _onnx_runtime(module: torch.nn.Module, example: torch.Tensor) -> Any:
    """`module` exported to ONNX and run by ONNX Runtime."""
    import onnx  # noqa: F401  torch.onnx needs it
    import onnxruntime

    file = io.BytesIO()
    torch.onnx.export(module, (example,), file, input_names=["x"], dynamo=False)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x.numpy()})[0]
