'use strict';
// The filter: a route or type stays when all the words are in it; "/" goes there, Escape empties it.
const field = document.querySelector('input[type=search]');
const articles = [...document.querySelectorAll('article')].map(node => ({
  node,
  text: node.textContent.toLowerCase(),
  link: document.querySelector(`nav a[href="#${CSS.escape(node.id)}"]`)?.parentElement
}));
const groups = [...document.querySelectorAll('main section, nav ul')];

function filter() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const { node, text, link } of articles) {
    const fits = words.every(word => text.includes(word));
    node.hidden = !fits;
    if (link) {
      link.hidden = !fits;
    }
    found += fits ? 1 : 0;
  }
  for (const group of groups) {
    const empty = !group.querySelector('article:not([hidden]), li:not([hidden])');
    group.hidden = empty;
    if (group.tagName === 'UL') {
      group.previousElementSibling.hidden = empty;
    }
  }
  document.querySelector('main header').hidden = words.length > 0;
  document.querySelector('.mlex-None').hidden = found > 0;
}

field.addEventListener('input', filter);
document.addEventListener('keydown', event => {
  if (event.key === '/' && document.activeElement !== field) {
    event.preventDefault();
    field.focus();
  } else if (event.key === 'Escape') {
    field.value = '';
    filter();
  }
});
// A link to what the filter hides shows all again.
window.addEventListener('hashchange', () => {
  const aim = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (aim?.hidden) {
    field.value = '';
    filter();
    aim.scrollIntoView();
  }
});
