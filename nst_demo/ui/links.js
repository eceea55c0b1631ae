// The share bar of links.share_html, as gr.HTML's js_on_load: element is given.
// The address is that of this very frame: on huggingface.co the Space's own one.

const address = () => {
  const bar = element.querySelector('.share');
  return window.location.origin + window.location.pathname + '?' + bar.dataset.query;
};

// Without a secure context, or in a frame that may not, there is no navigator.clipboard.
async function copy(text) {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* the old way, then */ }
  const field = document.createElement('textarea');
  const home = element.querySelector('dialog[open]') ?? document.body;
  field.value = text;
  field.style.cssText = 'position:fixed;opacity:0';
  home.append(field);
  field.select();
  let done = false;
  try { done = document.execCommand('copy'); } catch { /* shown for copying by hand */ }
  field.remove();
  return done;
}

function say(button, text) {
  const before = button.dataset.label ?? button.textContent;
  button.dataset.label = before;
  button.textContent = text;
  element.querySelector('.said').textContent = text;
  setTimeout(() => { button.textContent = before; }, 2000);
}

function show(title, text) {
  const dialog = element.querySelector('dialog'), field = dialog.querySelector('textarea');
  dialog.querySelector('h2').textContent = title;
  field.value = text;
  dialog.showModal();
  field.select();
}

element.addEventListener('click', async ({ target }) => {
  const button = target.closest('button');
  if (!button) return;
  if (button.classList.contains('copy')) {
    if (await copy(address())) say(button, 'Copied');
    else show('Copy this link', address());
  }
  if (button.classList.contains('embed')) {
    const source = address().replaceAll('&', '&amp;').replaceAll('"', '&quot;');
    show('Embed this in a page', '<iframe src="' + source + '" title="Neural Style Transfer" '
      + 'width="100%" height="900" style="border:0" loading="lazy" allow="clipboard-write">'
      + '</iframe>');
  }
  if (button.classList.contains('copy-text')) {
    const text = element.querySelector('dialog textarea').value;
    say(button, await copy(text) ? 'Copied' : 'Press Ctrl+C');
    element.querySelector('dialog textarea').select();
  }
  if (button.classList.contains('close')) element.querySelector('dialog').close();
});
