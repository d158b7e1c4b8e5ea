alias number4 = vec4f;
