// The page of the API's document: Swagger UI from this server, nothing from elsewhere.

const place = document.getElementById("api-docs");

window.SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  validatorUrl: null,
  tryItOutEnabled: true,
  // Who is signed in can try everything without a key; what changes something needs the token.
  requestInterceptor: (request) => {
    if (place.dataset.csrf && !["GET", "HEAD"].includes(request.method ?? "GET")) {
      request.headers["X-CSRFToken"] = place.dataset.csrf;
    }
    return request;
  },
});
