// The page that changes a waiting job.

import "./loras.js";
import "./refused.js";
import "./sheets.js";
import "./sliders.js";
import "./start.js";
import "./when.js";
