"""Fast mode against a forward pass of VGG19 in the same run: `python -m bench.fast`.

Of any style, and of trained styles, whose size is told too.
"""

from __future__ import annotations

import argparse

from bench.measure import medians, random_picture, report, report_ratios, vgg19_forward
from nst_demo.methods import adain, feedforward

YARDSTICK = "VGG19 forward, 512x512"  # to block5_conv1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--large", action="store_true", help="also 2048 x 2048")
    arguments = parser.parse_args()
    photo, style = random_picture(512), random_picture(512, seed=1)
    code = adain.style_code(style)
    tasks = {
        YARDSTICK: vgg19_forward(512),
        "fast, 512x512, style encoded before": lambda: adain.paint(photo, code),
        "fast, 512x512, style 512x512 encoded too": lambda: adain.stylize(
            photo, [style], adain.Options()
        ),
    }
    trained = feedforward.trained_styles()
    if trained:
        name = next(iter(trained))
        tasks["trained style, 512x512"] = lambda: feedforward.paint(photo, name)
    if arguments.large:
        large = random_picture(2048)
        tasks["fast, 2048x2048, style encoded before"] = lambda: adain.paint(large, code)
    report_ratios("fast", medians(tasks, arguments.rounds), YARDSTICK)
    if trained:
        network = feedforward.FeedforwardNetwork()
        network.build()
        report(
            "styles",
            [
                {
                    "trained style": name,
                    "parameters": network.count_params(),
                    "MB": path.stat().st_size / 1e6,
                }
                for name, path in trained.items()
            ],
        )


if __name__ == "__main__":
    main()
