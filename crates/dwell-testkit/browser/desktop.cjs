// Opens a desktop in a browser, types a line into its terminal, and keeps a picture.
// usage: node desktop.cjs URL LINE PICTURE
const { chromium } = require("playwright-core");

const [url, line, picture] = process.argv.slice(2);

(async () => {
    const browser = await chromium.launch({
        executablePath: "/usr/bin/chromium",
        args: ["--no-sandbox"],
    });
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    page.on("console", (message) => console.error(message.text()));
    page.on("pageerror", (error) => console.error(String(error)));
    await page.goto(url);
    await page.waitForSelector("#screen canvas", { timeout: 20000 });
    await page.waitForFunction(() => document.getElementById("told").textContent === "");
    await page.waitForTimeout(1500);
    await page.mouse.click(720, 450);
    await page.keyboard.type(line, { delay: 20 });
    await page.keyboard.press("Enter");
    await page.waitForTimeout(1500);
    await page.screenshot({ path: picture });
    console.log(page.url());
    await page.reload();
    await page.waitForSelector("#screen canvas", { timeout: 20000 });
    const other = await browser.newPage();
    await other.goto(url);
    await other.waitForFunction(() => document.getElementById("told").textContent !== "");
    console.log(await other.textContent("#told"));
    await browser.close();
})().catch((error) => {
    console.error(String(error));
    process.exit(1);
});
