"""Gradio's theme, with the page's tokens in place of its colours, sizes and radii."""

from __future__ import annotations

import gradio as gr

SIZES = ("xxs", "xs", "sm", "md", "lg", "xl", "xxl")
TYPE = dict(zip(SIZES, [f"var(--t-{n})" for n in (1, 1, 1, 2, 3, 4, 5)], strict=True))
RADIUS = dict(zip(SIZES, [f"var(--r-{n})" for n in (1, 1, 1, 2, 2, 3, 3)], strict=True))
# Gradio's variable -> token; the same one in dark mode, where the tokens themselves differ.
COLOURS = {
    "body_background_fill": "ground",
    "body_text_color": "ink",
    "body_text_color_subdued": "ink-2",
    "background_fill_primary": "surface",
    "background_fill_secondary": "ground",
    "border_color_primary": "line",
    "border_color_accent": "accent",
    "color_accent_soft": "sunken",
    "link_text_color": "ink",
    "link_text_color_active": "ink",
    "link_text_color_hover": "ink",
    "link_text_color_visited": "ink",
    "block_background_fill": "surface",
    "block_border_color": "line",
    "block_info_text_color": "ink-2",
    "block_label_background_fill": "surface",
    "block_label_text_color": "ink-2",
    "block_title_text_color": "ink-2",
    "panel_background_fill": "surface",
    "input_background_fill": "surface",
    "input_background_fill_focus": "surface",
    "input_border_color": "edge",
    "input_border_color_focus": "ink",
    "input_border_color_hover": "ink",
    "input_placeholder_color": "ink-2",
    "checkbox_label_text_color": "ink",
    "checkbox_label_text_color_selected": "on-accent",
    "checkbox_label_background_fill": "sunken",
    "checkbox_label_background_fill_hover": "line",
    "checkbox_label_background_fill_selected": "accent",
    "button_primary_background_fill": "accent",
    "button_primary_background_fill_hover": "ink-2",
    "button_primary_border_color": "accent",
    "button_primary_text_color": "on-accent",
    "button_secondary_background_fill": "surface",
    "button_secondary_background_fill_hover": "sunken",
    "button_secondary_border_color": "edge",
    "button_secondary_border_color_hover": "ink",
    "button_secondary_text_color": "ink",
    "button_secondary_text_color_hover": "ink",
    "table_border_color": "line",
    "table_even_background_fill": "surface",
    "table_odd_background_fill": "surface",
    "loader_color": "ink",
}


def theme() -> gr.themes.Base:
    """Return the theme; it loads no font and no style from elsewhere."""
    colours = {name: f"var(--{token})" for name, token in COLOURS.items()}
    dark = {f"{name}_dark": value for name, value in colours.items()}
    return gr.themes.Base(
        primary_hue="neutral",
        text_size=gr.themes.Size(name="type", **TYPE),
        radius_size=gr.themes.Size(name="radius", **RADIUS),
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(color_accent="var(--accent)", button_border_width="1px", **colours, **dark)
