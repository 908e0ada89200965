"""The façade's verbs, one module a noun; `app.Mlex` is all of them together."""
