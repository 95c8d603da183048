"use strict";

// Before the first paint, so that nothing flashes. Without a choice of the user's the system's theme is taken.
{
  const chosen = localStorage.getItem("gristmill.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
