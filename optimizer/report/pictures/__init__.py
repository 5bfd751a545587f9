"""Pictures. A file for each study says what to show (`picture`) and writes it (`draw(answer, path)`).

What is shown is a `scene.Picture`; `still` draws it with matplotlib (.png, .svg, .pdf), `page` with plotly.js
(.html). Nothing is fetched and no browser is run.
"""
