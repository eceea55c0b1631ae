// The strip of visit.py, as gr.HTML's js_on_load: element and trigger are given.

element.addEventListener('click', ({ target }) => {
  const button = target.closest('button[data-place]');
  if (button) trigger('bring', { place: Number(button.dataset.place) });
});
