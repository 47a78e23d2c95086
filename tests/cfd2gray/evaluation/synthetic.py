"""Small synthetic evaluation batches: a moving texture, a colour box over it, and predictions of known quality."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR


def clip(seed, *, t=5, h=40, w=48, flow=True):
    """One clip as uint8 arrays: cfd, grey, strata, hidden."""
    rng = np.random.default_rng(seed)
    base = cv2.GaussianBlur(rng.random((h + t, w)).astype(np.float32), (0, 0), 1.2)
    coarse = cv2.GaussianBlur(rng.random((h + t, w)).astype(np.float32), (0, 0), 6)
    base = 0.5 + 1.5 * (base - 0.5) + 4 * (coarse - 0.5)
    grey = np.clip(np.stack([base[i : i + h] for i in range(t)]), 0.05, 1)
    grey = (grey * 200).astype(np.uint8)
    strata = np.full((t, h, w), SECTOR, np.uint8)
    strata[:, :2] = 0
    grey[:, :2] = 0
    cfd = np.repeat(grey[..., None], 3, axis=-1)
    if flow:
        strata[:, 8:32, 8:40] |= BOX
        field = cv2.GaussianBlur(rng.standard_normal((h, w)).astype(np.float32), (0, 0), 4)
        disc = np.hypot(np.arange(h)[:, None] - 20, np.arange(w)[None] - 24) < 8 + rng.integers(3)
        strata[:, disc] |= FLOW
        strength = (120 + 100 * field / np.abs(field).max()).astype(np.uint8)
        cfd[:, disc] = np.stack([strength, strength // 3, 0 * strength], -1)[disc]
        edge = np.zeros((h, w), bool)
        edge[8, 8:40] = edge[31, 8:40] = edge[8:32, 8] = edge[8:32, 39] = True
        strata[:, edge] |= OUTLINE
        cfd[:, edge] = 250
    hidden = ((strata & (FLOW | OUTLINE)) > 0).astype(np.uint8)
    return {"cfd": cfd, "grey": grey[..., None], "strata": strata, "hidden": hidden}


def batches(n_clips=10, *, batch=4, flow=lambda i: i % 5 != 4, **shape):
    """Padded host batches; clip i belongs to patient i // 2 and alternates between heart and kidney."""
    result = []
    for start in range(0, n_clips, batch):
        indices = [min(i, n_clips - 1) for i in range(start, start + batch)]
        clips = [clip(i, flow=flow(i), **shape) for i in indices]
        item = {key: np.stack([c[key] for c in clips]) for key in clips[0]}
        item["labels"] = np.zeros_like(item["strata"])
        item["view"] = np.array([1 if i % 4 < 2 else 9 for i in indices], np.int32)
        item["domain"] = np.array([1 if i % 4 < 2 else 4 for i in indices], np.int32)
        item["shared"] = np.ones(batch, np.uint8)
        item["index"] = np.array(indices, np.int32)
        item["mask"] = np.array([i < n_clips for i in range(start, start + batch)], np.float32)
        result.append(item)
    return result


def ids(index):
    return f"{index:064x}"[::-1], f"patient{index // 2}", {"kind": "simulated", "vendor": "map a", "fps": 12.0}


@jax.jit
def oracle(batch):
    """A good translator: the truth with slight noise where colour was; luma elsewhere."""
    truth = batch["grey"].astype(jnp.float32) / 255
    noise = 0.04 * jax.random.normal(jax.random.key(0), truth.shape)
    raw = jnp.clip(truth + noise, 0, 1)
    grey_input = batch["cfd"].astype(jnp.float32) @ jnp.array([0.299, 0.587, 0.114]) / 255
    composited = jnp.where(batch["hidden"][..., None] > 0, raw, grey_input[..., None])
    return {"grey": raw, "composited": composited, "anatomy": jnp.clip(raw * 0.9, 0, 1)}


@jax.jit
def oracle_without_noise(batch):
    """The truth, a little darker: the same for a clip whatever batch it is in."""
    truth = 0.9 * batch["grey"].astype(jnp.float32) / 255
    return {"grey": truth, "composited": truth}
