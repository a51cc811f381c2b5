"""The printed certificate: complete, made anew from the numbers, and safe to open whoever wrote them."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from scipy.stats import norm

from privsynth.errors import PrivacyError
from privsynth.privacy.certificate import Certificate
from privsynth.privacy.events import BoundedRange, Failure, Gaussian, SubsampledGaussian
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import SecureNoise
from privsynth.privacy.unit import Unit
from privsynth.report import render_certificate
from tests.report.test_html import NASTY, Balanced


def certificate(*, private=True, train=False, unit=None, label="1-way counts"):
    mechanisms = Mechanisms(SecureNoise(), private=private)
    if unit is not None:
        mechanisms.persons(np.array([50, 60]), epsilon=0.05)
        mechanisms.protect(unit)
    mechanisms.size(1000, epsilon=0.05)
    events = {label: Gaussian(0.3), "final choice": BoundedRange(0.2), "rounding of noise": Failure(1e-7)}
    for name, event in {**events, **({"DP-SGD": SubsampledGaussian(2.5, 0.02, 100)} if train else {})}.items():
        mechanisms.allot(name, event)
    mechanisms.counts(label, np.array([5, 6]), sensitivity=2.0)
    mechanisms.choose("final choice", np.zeros(4), sensitivity=1.0)
    if train:
        mechanisms.train("DP-SGD", clip_norm=1.0)
    mechanisms.forfeit()
    return Certificate.of(mechanisms, delta=1e-5)


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split("</style>")[1])).replace("\N{NO-BREAK SPACE}", " ")


def parsed(page):
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    return parser


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("unit", [None, Unit("customer", 1, chosen=True)])
def test_everything_that_a_reader_needs_is_on_it(train, unit):
    made = certificate(train=train, unit=unit)
    data = made.to_dict()
    text = text_of(render_certificate(json.loads(json.dumps(data)), source="model.privsynth"))
    for charge in data["charges"]:
        for wanted in (charge["label"], charge["read"], charge["mechanism"]):
            assert wanted in text
    wanted = [
        "model.privsynth",
        data["noise"],
        data["accountant"],
        *data["versions"].values(),
        "privsynth inspect MODEL",
    ]
    wanted += ["μ = 0.3 ", "η = 0.2", "6.6667", "ε = 0.05", "δ = 1 × 10⁻⁷", "9.9 × 10⁻⁶"]  # 2 / 0.3; 1e-5 - 1e-7
    wanted += ["σ = 2.5, q = 0.02, T = 100", "100 steps of σ = 2.5 at q = 0.02"] if train else ["in closed form"]
    wanted += ["chosen from the released rows per person", "'customer'"] if unit else ["one row added or removed"]
    for phrase in [*wanted, *data["not_covered"]]:
        assert phrase.replace("'", "&#39;") in text, phrase
    assert f"cost ε = {made.epsilon:.5g} at δ = 1 × 10⁻⁵" in text


def test_the_closed_form_on_the_page_is_right():
    text = text_of(render_certificate(certificate().to_dict()))
    found = re.search(r"which for ε = ([\d.]+) and μ = ([\d.]+) gives ([\d.]+) × 10⁻⁶", text)
    epsilon, mu, delta = map(float, found.groups())
    again = norm.cdf(-epsilon / mu + mu / 2) - math.exp(epsilon) * norm.cdf(-epsilon / mu - mu / 2)
    assert again == pytest.approx(delta * 1e-6, rel=2e-3)  # five digits of epsilon
    assert delta == pytest.approx(9.9)


def test_without_privacy_it_says_so_and_shows_no_sum():
    page = render_certificate(certificate(private=False).to_dict())
    text = text_of(page)
    assert "NOT private" in text
    assert 'class="statement open"' in page
    assert "NONE: exact values" in text
    assert "not bounded" in text
    for phrase in ("Recomputed", "How the total", "μ = ", "ε (epsilon)"):
        assert phrase not in text


def test_a_claim_that_does_not_hold_makes_no_page():
    data = certificate().to_dict()
    for change in ({"epsilon": 0.1}, {"delta": 1e-9}, {"private": False}):
        with pytest.raises(PrivacyError, match="Do not trust"):
            render_certificate({**data, **change})


def test_hostile_labels_are_text_and_hostile_words_are_not_taken_over():
    data = certificate(label=NASTY, unit=Unit('"><img src=x onerror=alert(1)>{{ 7 * 7 }}', 2)).to_dict()
    data["statement"] = data["accountant"] = data["unit"] = "<script>lies()</script>"
    data["composition"] = data["not_covered"] = []
    data["charges"][0] |= {"read": "lies", "mechanism": "lies", "cost": {"epsilon": 0}}
    data["versions"][NASTY] = data["noise"] = NASTY
    page = render_certificate(data, source=NASTY)
    assert "lies" not in page
    parser = parsed(page)
    assert not {"script", "img", "link", "iframe"} & parser.tags
    assert not [name for name, _ in parser.attributes if name.startswith("on")]
    assert page.count("&lt;script&gt;") >= 4
    assert "{{ 7 * 7 }}" in page


def test_it_prints_black_on_white_on_a4_and_fetches_nothing():
    page = render_certificate(certificate(train=True).to_dict())
    parser = parsed(page)
    assert not {"src", "href", "srcset", "data", "action"} & {name for name, _ in parser.attributes}
    assert not re.search(r"url\(|@import|https?://|<script", page)
    assert "size: A4" in page
    assert set(re.findall(r"#[0-9a-f]{3,6}\b", page.split("</style>")[0])) <= {"#000", "#fff", "#999"}
    assert page == render_certificate(certificate(train=True).to_dict())
