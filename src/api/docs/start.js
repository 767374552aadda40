"use strict";

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  filter: true,
  requestSnippetsEnabled: true,
  // Keeps the token while the page is open and no longer.
  persistAuthorization: false,
  validatorUrl: null,
});
