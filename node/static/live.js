// Shows a page again when the office's data have changed, without moving the reader.
(function () {
  "use strict";
  var main = document.querySelector("main");
  if (!main || !window.EventSource || !window.DOMParser) { return; }
  var source = null, busy = false, again = false;

  function links() {
    return Array.prototype.slice.call(main.querySelectorAll("a, button, input, select"));
  }

  // Who types or marks text is not disturbed; the next change comes.
  function occupied() {
    var at = document.activeElement;
    var types = at && main.contains(at) && /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName);
    return types || String(window.getSelection()) !== "";
  }

  function show(text) {
    var page = new DOMParser().parseFromString(text, "text/html");
    var fresh = page.querySelector("main");
    if (!fresh || !fresh.querySelector("[data-live]")) { stop(); return; }
    if (occupied()) { return; }
    var x = window.pageXOffset, y = window.pageYOffset;
    var focus = links().indexOf(document.activeElement);
    main.innerHTML = fresh.innerHTML;
    var badge = document.querySelector(".badge"), newer = page.querySelector(".badge");
    if (badge && newer) { badge.className = newer.className; badge.innerHTML = newer.innerHTML; }
    if (focus >= 0 && links()[focus]) { links()[focus].focus(); }
    window.scrollTo(x, y);
  }

  function load() {
    if (busy) { again = true; return; }
    busy = true;
    again = false;
    var request = new XMLHttpRequest();
    request.open("GET", window.location.href);
    // A page that shows itself again keeps nobody signed in.
    request.setRequestHeader("X-Live", "1");
    request.onloadend = function () {
      busy = false;
      if (request.status === 200) { show(request.responseText); }
      if (again && source) { load(); }
    };
    request.send();
  }

  function stop() {
    if (source) { source.close(); source = null; }
  }

  // A hidden page listens to nothing: browsers allow few connections to one office.
  function listen() {
    if (document.hidden) { stop(); return; }
    if (!source) {
      source = new EventSource("/live");
      source.addEventListener("changed", load);
    }
  }

  document.addEventListener("visibilitychange", function () {
    if (!document.hidden && !source) { load(); }
    listen();
  });
  listen();
}());
