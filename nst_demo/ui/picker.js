// The thumbnails of picker.py, as gr.HTML's js_on_load: element, trigger, props and watch are given.
// props.value is JSON: the ids that are chosen and, from the server, the visitor's own styles.

const most = MAX_PICTURES;
const tiles = element.querySelector('.tiles'), count = element.querySelector('.count');
const tools = element.querySelector('.pick-tools');
let one = !!window.nstPickOne, several = [], known = '', uploads = [];

const boxes = () => [...tiles.querySelectorAll('input')];
const chosen = () => boxes().filter((box) => box.checked).map((box) => box.value);

function choose(ids) {
  boxes().forEach((box) => { box.checked = ids.includes(box.value); });
}

function hand_over() {
  const ids = chosen();
  boxes().forEach((box) => { box.disabled = !one && !box.checked && ids.length >= most; });
  count.textContent = one ? 'one' : ids.length + ' chosen' + (ids.length >= most ? ', the most' : '');
  tools.hidden = one;
  known = JSON.stringify({ chosen: ids, uploads });
  props.value = known;
}

tiles.onchange = (event) => {
  if (one) choose([event.target.value]);
  hand_over();
};
tools.querySelector('.all').onclick = () => {
  choose(boxes().slice(0, most).map((box) => box.value));
  hand_over();
};
tools.querySelector('.none').onclick = () => { choose([]); hand_over(); };

// One style for a strip or a duel; what was chosen for the grid comes back afterwards.
window.addEventListener('nst-pick', ({ detail }) => {
  if (detail === one) return;
  if (detail) several = chosen();
  one = detail;
  choose(one ? several.slice(0, 1) : [...new Set([...several, ...chosen()])].slice(0, most));
  hand_over();
});

function add_uploads() {
  tiles.querySelectorAll('.own').forEach((tile) => tile.remove());
  uploads.slice().reverse().forEach(([name, path], i) => {
    const tile = document.createElement('label'), box = document.createElement('input');
    const picture = document.createElement('img'), text = document.createElement('span');
    tile.className = 'tile own';
    tile.title = text.textContent = name;
    box.type = 'checkbox';
    box.value = 'upload:' + (uploads.length - 1 - i);
    picture.alt = '';
    picture.src = 'gradio_api/file=' + path;
    tile.append(box, picture, text);
    tiles.prepend(tile);
  });
}

function take() {
  if (props.value === known) return;
  let given;
  try { given = JSON.parse(props.value); } catch { return; }
  if (JSON.stringify(given.uploads) !== JSON.stringify(uploads)) {
    uploads = given.uploads;
    add_uploads();
  }
  choose(one ? given.chosen.slice(0, 1) : given.chosen);
  hand_over();
}

watch('value', take);
take();
