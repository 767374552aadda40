"use strict";

// A link inside a button cannot be told from it by a screen reader: the button alone is enough, and
// puts the operation into the address all the same. There is one server, so none to choose.
const plain = ({ React }) => ({
  components: {
    DeepLink: ({ text }) => React.createElement("span", null, text),
    ServersContainer: () => null,
  },
});

// What Swagger UI leaves without a name, or out of reach of the keyboard.
const finish = () => {
  const name = (selector, words) => {
    for (const element of document.querySelectorAll(`${selector}:not([aria-label])`)) {
      element.setAttribute("aria-label", words(element));
    }
  };
  const parameter = (element) => element.closest("[data-param-name]").dataset.paramName;
  name("[data-param-name] :is(input, select, textarea)", parameter);
  name(".examples-select-element", () => "Example");
  name(".body-param textarea", () => "Request body");
  name(".copy-to-clipboard button", () => "Copy");
  name(".operation-filter-input", () => "Filter by tag");
  for (const code of document.querySelectorAll("pre.microlight:not([tabindex])")) code.tabIndex = 0;
};
new MutationObserver(finish).observe(document.getElementById("docs"), { childList: true, subtree: true });

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  plugins: [plain],
  deepLinking: true,
  filter: true,
  requestSnippetsEnabled: true,
  syntaxHighlight: { theme: "tomorrow-night" },
  // Keeps the token while the page is open and no longer.
  persistAuthorization: false,
  validatorUrl: null,
});
