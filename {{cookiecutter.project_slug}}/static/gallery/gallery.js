// The pages work without this script; it adds the large view, and the upload's progress.

import { enhanceUpload } from "./upload.js";
import { enhancePictures } from "./viewer.js";

for (const form of document.querySelectorAll("[data-upload]")) enhanceUpload(form);
for (const list of document.querySelectorAll("[data-pictures]")) enhancePictures(list);

// For tests and style sheets: the modules have loaded and run.
document.documentElement.dataset.enhanced = "true";
