"""Pictures, one file each: `draw(answer, path)`. The path's ending says what: .html, .png or .svg.

Plotly draws; still images are rendered by the browser that the kaleido package carries: nothing is fetched.
"""
