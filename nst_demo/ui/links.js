// The share bar of links.share_html, as gr.HTML's js_on_load: element is given.
// The address is that of this very frame: on huggingface.co the Space's own one.

const page = window.location.origin + window.location.pathname;
const bar = () => element.querySelector('.share').dataset;
const address = () => page + '?' + bar().query;

// Of the page and not of the bar, which each result brings anew.
const can = document.documentElement.classList;
can.toggle('can-share', 'share' in navigator);
can.toggle('can-copy-pictures', 'ClipboardItem' in window && 'clipboard' in navigator);

async function picture() {
  const path = bar().picture.split('/').map(encodeURIComponent).join('/');
  const answer = await fetch(new URL('gradio_api/file=' + path, document.baseURI));
  if (!answer.ok) throw new Error('The picture is gone.');
  return answer.blob();
}

async function copyPicture() {
  // A promise in it: Safari lets nothing be copied later than the click.
  await navigator.clipboard.write([new ClipboardItem({ 'image/png': picture() })]);
}

// The picture where this browser sends files, with its link where it has one.
async function send() {
  const { query, picture: path } = bar(), data = { title: 'Neural Style Transfer' };
  if (query !== undefined) data.url = address();
  if (path !== undefined) {
    const name = path.split('/').pop();
    const files = [new File([await picture()], name, { type: 'image/png' })];
    if (navigator.canShare?.({ files })) data.files = files;
  }
  if (!data.url && !data.files) throw new Error('This browser sends no files.');
  await navigator.share(data);
}

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
  if (button.classList.contains('copy-picture')) {
    try { await copyPicture(); say(button, 'Copied'); } catch { say(button, 'Not possible here'); }
  }
  if (button.classList.contains('send')) {
    try { await send(); } catch (error) {
      if (error.name !== 'AbortError') say(button, 'Not possible here');  // AbortError: by the visitor
    }
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
