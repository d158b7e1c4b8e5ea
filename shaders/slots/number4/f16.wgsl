alias number4 = vec4<f16>;
