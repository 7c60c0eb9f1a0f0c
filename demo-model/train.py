"""Trains the demo model on generated dialogues; CPU only, well under an hour on two cores."""

import argparse
import math
import multiprocessing
import random
import time

import torch
import torch.nn.functional as F

import data
import tokenizer
from model import Model, Shape


def make_batches(seed, window, batch, queue):
    """Packs dialogues end to end into windows, for ever."""
    rng = random.Random(seed)
    judged = data.judged_prompts()
    ids, said = [], []
    need = batch * window + 1
    while True:
        while len(ids) < need:
            for message in data.dialogue(rng, judged):
                more, learn = tokenizer.encode_turn(message["role"], message["content"])
                ids += more
                said += learn
            ids.append(tokenizer.END_OF_TEXT)
            said.append(False)
        queue.put((ids[:need], said[:need]))
        ids, said = ids[need - 1:], said[need - 1:]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--out", default="demo.pt")
    args.add_argument("--init", help="checkpoint to go on from")
    args.add_argument("--minutes", type=float, default=35)
    args.add_argument("--batch", type=int, default=8)
    args.add_argument("--window", type=int, default=512)
    args.add_argument("--long-share", type=float, default=0.15, help="share of steps with the whole context as window")
    args.add_argument("--lr", type=float, default=2e-3)
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--seed", type=int, default=1)
    args = args.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    shape = Shape()
    model = Model(shape)
    if args.init:
        model.load_state_dict(torch.load(args.init, map_location="cpu", weights_only=True)["weights"])
    n_params = sum(p.numel() for p in model.parameters())
    print(f"{n_params} parameters", flush=True)
    decay = [p for p in model.parameters() if p.dim() == 2]
    plain = [p for p in model.parameters() if p.dim() < 2]
    forward = torch.compile(model)
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
                                  lr=args.lr, betas=(0.9, 0.98))
    queue = multiprocessing.Queue(maxsize=8)
    worker = multiprocessing.Process(target=make_batches, args=(args.seed, args.window, args.batch, queue), daemon=True)
    worker.start()
    started, step, seen, mean = time.time(), 0, 0, None
    long_rng = random.Random(args.seed)
    while (elapsed := time.time() - started) < args.minutes * 60:
        done = elapsed / (args.minutes * 60)
        rate = args.lr * min(1, (step + 1) / 150) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, said = queue.get()
        window = shape.context if long_rng.random() < args.long_share else args.window
        x = torch.tensor(ids[:-1]).view(-1, window)
        y = torch.tensor(ids[1:]).view(-1, window)
        weight = torch.where(torch.tensor(said[1:]), 1.0, 0.03).view(-1, window)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = forward(x)
        loss_each = F.cross_entropy(logits.float().flatten(0, 1), y.flatten(), reduction="none")
        loss = (loss_each * weight.flatten()).sum() / weight.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        seen += x.numel()
        mean = loss.item() if mean is None else 0.95 * mean + 0.05 * loss.item()
        if step % 50 == 0:
            print(f"step {step} tokens {seen / 1e6:.1f}M loss {mean:.4f} lr {rate:.5f} {seen / (time.time() - started):.0f} tok/s", flush=True)
        if step % 400 == 0:
            torch.save({"shape": shape.as_dict(), "weights": model.state_dict()}, args.out)
    torch.save({"shape": shape.as_dict(), "weights": model.state_dict()}, args.out)
    worker.terminate()
    print(f"done: {step} steps, {seen / 1e6:.1f}M tokens, {(time.time() - started) / 60:.1f} min, loss {mean:.4f}")


if __name__ == "__main__":
    main()
