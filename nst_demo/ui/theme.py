"""How the page looks. Everything is local: no font, script or picture from another server."""

from pathlib import Path

from gradio.themes.base import Base
from gradio.themes.utils import colors, fonts, sizes

CSS = Path(__file__).with_name("style.css")

VERMILION = colors.Color(
    name="vermilion",
    c50="#fff4ef",
    c100="#ffe4d8",
    c200="#ffc6b0",
    c300="#fda084",
    c400="#f57a56",
    c500="#e2562f",
    c600="#c8411d",
    c700="#a63316",
    c800="#852b16",
    c900="#6c2716",
    c950="#3b1108",
)
SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas")


def build_theme() -> Base:
    font = fonts.Font  # the plain class: GoogleFont and LocalFont load files
    theme = Base(
        primary_hue=VERMILION,
        secondary_hue=colors.stone,
        neutral_hue=colors.stone,
        radius_size=sizes.radius_lg,
        font=[*map(font, SANS), font("sans-serif")],
        font_mono=[*map(font, MONO), font("monospace")],
    )
    return theme.set(
        body_background_fill="#faf8f5",
        body_background_fill_dark="#161412",
        background_fill_secondary="#f3efe9",
        background_fill_secondary_dark="#1d1a18",
        block_background_fill="white",
        block_background_fill_dark="#211e1b",
        block_border_color="#e8e2da",
        block_border_color_dark="#35302c",
        border_color_primary="#e0d9d0",
        border_color_primary_dark="#3d3732",
        block_shadow="0 1px 2px rgb(60 40 20 / 5%)",
        block_shadow_dark="none",
        block_label_background_fill="*block_background_fill",
        block_label_background_fill_dark="*block_background_fill",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_weight="600",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        input_background_fill="#faf8f5",
        input_background_fill_dark="#161412",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        button_border_width="1px",
        button_primary_border_color="*primary_600",
        button_large_text_weight="600",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="#f3efe9",
        button_secondary_background_fill_dark="#2a2623",
        button_secondary_background_fill_hover_dark="#35302c",
        button_secondary_border_color="#e0d9d0",
        button_secondary_border_color_dark="#3d3732",
        slider_color="*primary_600",
        slider_color_dark="*primary_500",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
    )
