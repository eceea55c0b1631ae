// The grid of comparisons.grid_html, as gr.HTML's js_on_load: element and trigger are given.

element.addEventListener('click', ({ target }) => {
  const button = target.closest('button[data-place]');
  if (!button) return;
  const place = Number(button.dataset.place);
  if (button.classList.contains('open')) trigger('open', { place });
  else trigger('look', { place });
});
