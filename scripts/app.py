"""Ask runs and ensembles on a page in the browser: ``python scripts/app.py``."""

import argparse
import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from chaii.config.errors import ConfigError, one_line_errors

CONF = Path(__file__).parents[1] / "conf"


def main() -> None:
    """Serve the page to this machine alone, until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("data/runs"))
    parser.add_argument("--port", type=int, default=7860)
    arguments = parser.parse_args()
    with one_line_errors():
        if find_spec("gradio") is None:
            raise ConfigError("gradio: is not installed; run: pip install -e '.[app]'")
        serve_page(arguments.runs, arguments.port)


def serve_page(runs: Path, port: int) -> None:
    """Put the inputs, the examples and both views of the answers onto a page, and serve it."""
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}  # read on import
    from chaii.ensemble import page as ui

    choices = ui.find_choices(runs, CONF)
    import gradio as gr

    with gr.Blocks(title="chaii", analytics_enabled=False) as page, gr.Row():
        with gr.Column(scale=2):
            source = gr.Dropdown(choices, label="Run or ensemble")
            question = gr.Textbox(label="Question", max_lines=4)
            context = gr.Textbox(label="Context", lines=6, max_lines=9)
            inputs = [source, question, context, gr.Slider(1, 10, 3, step=1, label="Answers")]
            button = gr.Button("Answer", variant="primary")
            examples = {one: gr.Button(one[0], elem_classes="ask") for one in ui.write_examples()}
        with gr.Column(scale=3):
            with gr.Tab("Answers"):
                views = [gr.HTML(ui.HINT)]
            with gr.Tab("Backbones"):
                views.append(gr.HTML(ui.HINT))
        answer = partial(ui.render_page, ui.make_loader(runs, CONF)), inputs, views
        gr.on([button.click, question.submit], *answer)
        for example, chosen in examples.items():
            chosen.click(partial(tuple, example), outputs=[question, context]).then(*answer)
    looks = {"theme": "base", "css_paths": ui.STYLE, "footer_links": [], "quiet": True}
    here = {"server_name": "127.0.0.1", "server_port": port, "share": False, "ssr_mode": False}
    page.launch(**here, **looks, prevent_thread_lock=True)
    print(f"{page.local_url}  (Ctrl-C ends it)", flush=True)
    page.block_thread()


if __name__ == "__main__":
    main()
