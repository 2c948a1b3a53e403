// The page of a desktop: takes its ticket for a key, and connects noVNC.
import RFB from "./novnc/core/rfb.js";

const told = document.getElementById("told");
const place = location.pathname;

// The ticket is behind the `#`, which no server sees; it leaves the address bar at once.
async function key() {
    const ticket = location.hash.slice(1);
    if (ticket) {
        history.replaceState(null, "", place);
        const answer = await fetch("ticket", { method: "POST", body: ticket });
        if (answer.ok) {
            sessionStorage.setItem(place, await answer.text());
        }
    }
    return sessionStorage.getItem(place);
}

function connect(own) {
    const rfb = new RFB(document.getElementById("screen"), `ws://${location.host}${place}socket`, {
        wsProtocols: ["binary", `dwell.${own}`],
    });
    rfb.scaleViewport = true;
    rfb.resizeSession = true;
    rfb.addEventListener("connect", () => {
        told.textContent = "";
        rfb.focus();
    });
    rfb.addEventListener("clipboard", (event) => {
        navigator.clipboard?.writeText(event.detail.text).catch(() => {});
    });
    rfb.addEventListener("disconnect", () => {
        told.textContent = "The desktop is away; trying again.";
        setTimeout(() => connect(own), 2000);
    });
}

const own = await key();
if (own) {
    connect(own);
} else {
    told.textContent = "This address was used already, or is too old: `dwell vnc` gives another.";
}
