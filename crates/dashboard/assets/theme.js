// Before the first paint, so that nothing flashes or moves: the colours that were chosen on this browser, and that
// scripts run at all.
{
  const root = document.documentElement;
  root.classList.add("js-on");
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    // A browser that keeps nothing shows the system's colours.
  }
}
