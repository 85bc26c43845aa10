"""How a model shows: text that fits 80 columns, HTML, one line."""

import html.parser

import pytest

from pyconv import Sequential, layers, summary
from pyconv.recipes import blog


def widest(text):
    return max(map(len, text.splitlines()))


def test_the_blogs_network_fits_80_columns():
    model = blog.network()
    text = summary.summary_text(model)
    assert widest(text) <= 80
    for layer in model.layers:
        assert f"\n{layer.name} " in text
    assert "Multiply-adds" in text
    assert "Activations" in text
    assert "354,704" in text


def test_a_plan_fits_80_columns():
    model = blog.network()
    model.compile("adam", "sparse_categorical_crossentropy")
    texts = []
    model.summary(print_fn=texts.append, plan=True, batch_size=2)
    assert widest(texts[1]) <= 80
    assert "conv2d_backward_weight_fused" in texts[1]


def test_long_names_are_shortened_and_columns_go():
    wide = 2_000_000
    model = Sequential(
        [
            layers.Flatten(
                input_shape=(1, 1, wide), name="the_first_layer_with_a_very_long_name_of_its_own_1"
            ),
            layers.Flatten(name="the_first_layer_with_a_very_long_name_of_its_own_2"),
            layers.Dense(3, name="a" * 90),
        ],
        name="b" * 90,
    )
    text = summary.summary_text(model)
    assert widest(text) <= 80
    assert "…" in text
    assert "_own_1" in text
    assert "_own_2" in text
    narrow = summary.summary_text(model, width=60)
    assert "Activations" not in narrow
    assert "Parameters" in narrow


def test_a_name_is_followed_by_its_type_where_that_fits():
    model = Sequential([layers.Dense(3, input_shape=(4,))])
    assert "\ndense (Dense)  (3,)" in summary.summary_text(model)


class Checker(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.rows = [], 0

    def handle_starttag(self, tag, attributes):
        if tag != "br":
            self.open.append(tag)
        self.rows += tag == "tr"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("shape", [(4,), None])
def test_html(shape):
    model = Sequential([layers.Dense(3, input_shape=shape, name="<b>")], name="<script>")
    checker = Checker()
    checker.feed(summary.summary_html(model))
    assert checker.open == []
    assert checker.rows == (2 if shape else 0)
    assert "<script>" not in summary.summary_html(model)


def test_one_line():
    model = Sequential([layers.Dense(3, input_shape=(4,))], name="small")
    assert summary.line(model) == "<Sequential 'small': 1 layer, (4,) -> (3,), 15 parameters>"
    assert summary.line(Sequential([])) == "<Sequential 'sequential': 0 layers, not built>"
