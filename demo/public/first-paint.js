/**
 * Before the first paint, ahead of the page's modules: the colours, and whether the measurements are shown, as the user
 * chose last. `data-theme` is the choice (none: as the system has it), `data-scheme` what it comes to.
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
      // Some windows keep nothing.
    }
  }
  follow();
  dark.addEventListener('change', follow);
  new MutationObserver(follow).observe(root, { attributeFilter: ['data-theme'] });
}
