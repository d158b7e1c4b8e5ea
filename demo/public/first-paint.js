/**
 * Runs before the first paint and the page's modules: sets the colours, and whether the measurements are shown, by the
 * user's last choice. `data-theme` is the choice (none: the system's), `data-scheme` the resulting colours.
 */
{
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const follow = () => {
    const { theme } = root.dataset;
    const scheme = theme === 'light' || theme === 'dark' ? theme : dark.matches ? 'dark' : 'light';
    root.dataset.scheme = scheme;
    document.querySelector('meta[name=theme-color]').content = scheme === 'dark' ? '#161615' : '#fbfaf8';
  };
  for (const name of ['theme', 'readouts']) {
    try {
      const kept = localStorage.getItem(`chunkwise ${name}`);
      if (kept !== null) root.dataset[name] = kept;
    } catch {
      // Some windows store nothing.
    }
  }
  follow();
  dark.addEventListener('change', follow);
  new MutationObserver(follow).observe(root, { attributeFilter: ['data-theme'] });
}
