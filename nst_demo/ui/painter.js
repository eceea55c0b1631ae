// The drawing of painter.py, as gr.HTML's js_on_load: element, trigger, props and watch are given.
// Regions are drawn in their colours on a canvas over the photo. props.value is the drawing as the
// data: URL of a PNG of pure region colours on a transparent ground, or "" where nothing is drawn.

// px of the canvas: the long side, or at least this short side, but no side over MOST.
const LONG = 512, SHORT = 96, MOST = 2048;
const UNDOS = 12;
const brushes = JSON.parse(element.querySelector('.painter').dataset.brushes);
const find = (selector) => element.querySelector(selector);
const easel = find('.easel'), photo = find('.easel img'), canvas = find('.easel canvas');
const cursor = find('.cursor'), size = find('.size input'), hint = find('.hint');
const pen = canvas.getContext('2d', { willReadFrequently: true });
let brush = 0, styles = [true], past = [], last = null, shown = '';

// ---- Brushes ----

const chips = [...brushes, { name: 'Erase', colour: '' }].map(({ name, colour }, number) => {
  const chip = document.createElement('button');
  chip.type = 'button';
  chip.className = 'chip';
  const dot = document.createElement('i');
  dot.style.background = colour || 'transparent';
  chip.append(dot, name);
  chip.onclick = () => choose(number);
  find('.brushes').append(chip);
  return chip;
});

function choose(number) {
  brush = number;
  chips.forEach((chip, i) => chip.setAttribute('aria-pressed', i === number));
}

function offer(photo_there) {
  chips.forEach((chip, i) => { chip.hidden = i < styles.length && !styles[i]; });
  if (chips[brush].hidden) choose(0);
  chips[0].lastChild.textContent = styles.filter(Boolean).length > 1 ? brushes[0].name : 'Style';
  if (!photo_there) { hint.textContent = 'Choose a photo first.'; return; }
  hint.textContent = styles.filter(Boolean).length > 1
    ? 'Brush a region for each style. A style without one fills the rest.'
    : 'Brush where the style goes: the rest keeps the photo. Or brush with “Keep photo” instead.';
}

// ---- Drawing ----

function point(event) {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

function width() {
  return Math.min(canvas.width, canvas.height) * size.value / 100;
}

function stroke(from, to) {
  const colour = brushes[brush]?.colour;
  pen.globalCompositeOperation = colour ? 'source-over' : 'destination-out';
  pen.strokeStyle = colour || '#000';
  pen.lineCap = pen.lineJoin = 'round';
  pen.lineWidth = width();
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
}

function remember() {
  past.push(pen.getImageData(0, 0, canvas.width, canvas.height));
  if (past.length > UNDOS) past.shift();
}

// Every pixel becomes a region's pure colour, or nothing: no edge in between.
function purify() {
  const image = pen.getImageData(0, 0, canvas.width, canvas.height), data = image.data;
  const colours = brushes.map(({ colour }) =>
    [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  let any = false;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] < 128) { data[i] = data[i + 1] = data[i + 2] = data[i + 3] = 0; continue; }
    any = true;
    let best = 0, least = Infinity;
    colours.forEach((c, n) => {
      const d = (c[0] - data[i]) ** 2 + (c[1] - data[i + 1]) ** 2 + (c[2] - data[i + 2]) ** 2;
      if (d < least) { least = d; best = n; }
    });
    [data[i], data[i + 1], data[i + 2]] = colours[best];
    data[i + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
  return any;
}

function hand_over() {
  shown = purify() ? canvas.toDataURL('image/png') : '';
  find('.undo').disabled = !past.length;
  find('.clear').disabled = find('.save').disabled = !shown;
  props.value = shown;
}

function clear() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
}

canvas.onpointerdown = (event) => {
  if (event.button) return;
  event.preventDefault();
  try { canvas.setPointerCapture(event.pointerId); } catch { /* a synthetic event has no pointer */ }
  remember();
  last = point(event);
  stroke(last, last);
};
canvas.onpointermove = (event) => {
  const box = easel.getBoundingClientRect();
  const wide = width() * canvas.getBoundingClientRect().width / canvas.width;
  cursor.style.cssText = 'width:' + wide + 'px;height:' + wide + 'px;left:'
    + (event.clientX - box.left) + 'px;top:' + (event.clientY - box.top) + 'px';
  if (!last) return;
  for (const part of event.getCoalescedEvents?.() ?? [event]) {
    const next = point(part);
    stroke(last, next);
    last = next;
  }
};
canvas.onpointerup = canvas.onpointercancel = () => {
  if (last) hand_over();
  last = null;
};

find('.undo').onclick = () => {
  const before = past.pop();
  if (before) pen.putImageData(before, 0, 0);
  hand_over();
};
find('.clear').onclick = () => { remember(); clear(); hand_over(); };

// ---- Saving and opening ----

find('.save').onclick = () => {
  const link = document.createElement('a');
  link.href = shown;
  link.download = 'regions.png';
  link.click();
};
find('.open').onclick = () => find('.file').click();
find('.file').onchange = async (event) => {
  const file = event.target.files[0];
  event.target.value = '';
  if (!file || !photo.naturalWidth) return;
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    hint.textContent = 'That file is no picture; open a black and white one, or a saved drawing.';
    return;
  }
  remember();
  clear();
  pen.globalCompositeOperation = 'source-over';
  pen.imageSmoothingEnabled = false;
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  take_mask();
  hand_over();
};

// A drawing saved here stays as it is; in any other picture white is the chosen brush's region.
function take_mask() {
  const image = pen.getImageData(0, 0, canvas.width, canvas.height), data = image.data;
  let opaque = true;
  for (let i = 3; i < data.length; i += 4) if (data[i] < 128) { opaque = false; break; }
  if (!opaque) return;
  const colour = brushes[brush] ?? brushes[0];
  const paint = [1, 3, 5].map((at) => parseInt(colour.colour.slice(at, at + 2), 16));
  for (let i = 0; i < data.length; i += 4) {
    const light = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
    [data[i], data[i + 1], data[i + 2]] = paint;
    data[i + 3] = light > 127 ? 255 : 0;
  }
  pen.putImageData(image, 0, 0);
}

// ---- The photo, and what the server sends ----

photo.onload = () => {
  const { naturalWidth: w, naturalHeight: h } = photo;
  const wanted = Math.max(LONG / Math.max(w, h), SHORT / Math.min(w, h));
  const scale = Math.min(wanted, MOST / Math.max(w, h));
  canvas.width = Math.round(w * scale);
  canvas.height = Math.round(h * scale);
  past = [];
  hand_over();
};

function pictures({ detail: [chosen, ...others] }) {
  styles = [true, ...others.map(Boolean)];
  const url = chosen?.url ?? '';
  offer(url);
  find('.painter').classList.toggle('empty', !url);
  if (url === (photo.getAttribute('src') ?? '')) return;
  clear();  // at once: a drawing belongs to its photo
  past = [];
  hand_over();
  if (url) photo.src = url; else photo.removeAttribute('src');
}

watch('value', () => {
  if (props.value || !shown) return;
  clear();
  past = [];
  hand_over();
});
window.addEventListener('nst-pictures', pictures);
choose(0);
pictures({ detail: window.nstPictures ?? [null, null, null, null] });
