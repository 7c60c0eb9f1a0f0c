"""Asks the held-out prompts and counts right answers.

Against a running server, with the Python standard library alone:

    python evaluate.py --base-url http://127.0.0.1:7437/v1 --api-key "$KEY" --model ENDPOINT

or against a checkpoint (needs the training requirements):

    python evaluate.py --checkpoint demo.pt

Prints a score per category and in all; exits 1 below nine in ten.
"""

import argparse
import collections
import json
import pathlib
import sys
import urllib.request

PASS = 0.9


def from_server(base_url, key, model):
    def ask(prompt):
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": 600}
        request = urllib.request.Request(
            f"{base_url}/chat/completions",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["choices"][0]["message"]["content"]

    return ask


def from_checkpoint(path):
    import torch

    import tokenizer
    from model import Model, Shape

    saved = torch.load(path, map_location="cpu", weights_only=True)
    model = Model(Shape(**saved["shape"]))
    model.load_state_dict(saved["weights"])
    model.eval()

    def ask(prompt):
        ids = tokenizer.encode_prompt([{"role": "user", "content": prompt}])
        return tokenizer.decode(model.answer(ids, tokenizer.TURN_END, n_max=600))

    return ask


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--checkpoint")
    args.add_argument("--base-url")
    args.add_argument("--api-key")
    args.add_argument("--model")
    args.add_argument("--cases", default=pathlib.Path(__file__).with_name("heldout.jsonl"))
    args.add_argument("--failures", action="store_true", help="show every wrong answer")
    args = args.parse_args()
    ask = from_checkpoint(args.checkpoint) if args.checkpoint else from_server(args.base_url, args.api_key, args.model)

    asked, right = collections.Counter(), collections.Counter()
    for line in open(args.cases, encoding="utf-8"):
        case = json.loads(line)
        answer = ask(case["prompt"])
        asked[case["category"]] += 1
        if case["expect"] in answer:
            right[case["category"]] += 1
        elif args.failures:
            print(f"wrong: {case['prompt']!r}\n   expected {case['expect']!r}\n   got      {answer!r}")
    for category, n in asked.items():
        print(f"{category:10} {right[category]:3} of {n:3}  {right[category] / n:6.1%}")
    share = right.total() / asked.total()
    print(f"{'in all':10} {right.total():3} of {asked.total():3}  {share:6.1%}")
    sys.exit(0 if share >= PASS else 1)


if __name__ == "__main__":
    main()
