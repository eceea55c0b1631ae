// The empty state of webcam_tab.py, as gr.HTML's js_on_load: element is given.
// Gradio 6.31 says nothing where the browser gives it no camera, as the promise is rejected unheard,
// and without https, where there is no promise, it shows the name of a sentence.

const trouble = element.querySelector('.trouble');
const camera = document.querySelector('#camera');
const sentences = {
  NotAllowedError: 'The camera was not allowed; allow it beside this page’s address, then click again.',
  NotFoundError: 'No camera was found; connect one, then click again.',
  NotReadableError: 'Another program uses the camera; close that one, then click again.',
};
const insecure = 'Browsers give a camera only by https; open this page so, or where it is served.';
let asked = false;

camera.addEventListener('click', (event) => {
  asked = true;
  trouble.textContent = navigator.mediaDevices ? '' : insecure;
  if (!navigator.mediaDevices) event.stopPropagation();
}, true);
window.addEventListener('unhandledrejection', (event) => {
  if (!asked || !(event.reason instanceof DOMException)) return;
  event.preventDefault();
  trouble.textContent = sentences[event.reason.name] ??
    'The camera could not be started; click again, or try another browser.';
});
