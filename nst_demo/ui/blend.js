// The styles' shares in percent, with a sum of 100: (moved, [share, ...], [picture, ...]) -> shares.
// moved: the place of the slider that was moved, whose share stays; -1 where a picture was chosen or
// removed instead. A style without a picture has none; one that is new, so at 0 without having been
// moved there, gets an equal one. Called twice for one change, it gives the same.
(moved, shares, pictures) => {
  const there = pictures.map(Boolean);
  const silent = (window.nstSilent ?? []).filter((place) => there[place]);
  const count = there.filter(Boolean).length;
  let found = shares.map((share, place) => (there[place] ? Number(share) || 0 : 0));
  there.forEach((yes, place) => {
    if (yes && moved < 0 && !found[place] && !silent.includes(place)) {
      found = found.map((share) => share * (count - 1) / count);
      found[place] = 100 / count;
    }
  });
  const kept = there[moved] ? Math.min(found[moved], 100) : 0;
  const others = [...found.keys()].filter((place) => there[place] && place !== moved);
  if (!others.length) return found.map((_, place) => (there[place] ? 100 : 0));
  const sum = others.reduce((total, place) => total + found[place], 0);
  const same = found.every((share, place) => share === Number(shares[place]));
  if (same && Math.abs(sum + kept - 100) < 0.01) return found;  // opened settings keep fractions
  for (const place of others)
    found[place] = (100 - kept) * (sum ? found[place] / sum : 1 / others.length);
  // Whole numbers: what rounding down leaves goes to those that lost the most.
  const parts = others.map((place) => ({ place, lost: found[place] % 1 }));
  for (const { place } of parts) found[place] = Math.floor(found[place]);
  let left = Math.round(100 - kept - others.reduce((total, place) => total + found[place], 0));
  for (const { place } of parts.sort((a, b) => b.lost - a.lost))
    if (left-- > 0) found[place] += 1;
  const zero = [...found.keys()].filter((place) => there[place] && !found[place]);
  window.nstSilent = moved < 0 ? silent.filter((place) => zero.includes(place)) : zero;
  return found;
}
